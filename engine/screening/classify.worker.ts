/** Entry of the screening thread: it holds a topic model and classifies what it is given, one task at a time. */
import { workerData } from "node:worker_threads";
import type { Classification } from "../routing/classify.ts";
import { createTopicModel, readTopicModel } from "../routing/topic-model.ts";
import type { ScreeningTask, ThreadData } from "./protocol.ts";
import { screen } from "./screen.ts";

const { topicModel } = workerData as ThreadData;
const topics = createTopicModel(readTopicModel(topicModel));

export default function handle(task: ScreeningTask): Classification {
  return screen(task, { topics });
}
