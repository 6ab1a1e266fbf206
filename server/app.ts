/** The gateway: buildApp(ports, options) gives a Fastify server with every route, that does not listen yet. */
import { type FastifyInstance, fastify, LogController } from "fastify";
import type { ZodType } from "zod";
import { logAnswers } from "./plugins/access-log.ts";
import { authenticate } from "./plugins/auth.ts";
import { serveDocs } from "./plugins/docs.ts";
import { clientErrorHandler, sendErrors } from "./plugins/errors.ts";
import { warnOfIgnored } from "./plugins/ignored.ts";
import { readJsonBodies } from "./plugins/json-body.ts";
import { watchMethods } from "./plugins/methods.ts";
import { closeConnectionsOnDrain, onlyWhenReady } from "./plugins/readiness.ts";
import { requestIdOf, sendRequestId } from "./plugins/request-id.ts";
import type { GatewayOptions, GatewayPorts } from "./ports.ts";
import { chatRoute } from "./routes/chat.ts";
import { completionsRoute } from "./routes/completions.ts";
import { explainRoute } from "./routes/explain.ts";
import { modelRoutes, tokenizerRoutes } from "./routes/models.ts";
import { operationRoutes } from "./routes/operations.ts";
import { parseBody } from "./schema/parse.ts";

export async function buildApp(ports: GatewayPorts, options: GatewayOptions): Promise<FastifyInstance> {
  const app = createServer(ports, options);
  sendRequestId(app);
  logAnswers(app, ports.clock, ports.metrics);
  sendErrors(app, ports.metrics, options.bodyBytesMax);
  closeConnectionsOnDrain(app, ports.readiness);
  authenticate(app, ports.access);
  readJsonBodies(app);
  app.setValidatorCompiler(
    ({ schema, httpPart }) =>
      (data) =>
        validate(schema as ZodType, httpPart, data),
  );
  // Answers are built to OpenAI's shape in one place, which the contract tests hold to OpenAI's own schemas.
  app.setSerializerCompiler(() => JSON.stringify);
  await serveDocs(app, { version: options.version, access: ports.access });

  const methods = watchMethods(app);
  operationRoutes(app, ports, options);
  modelRoutes(app, ports);
  explainRoute(app, ports, options);
  await app.register((work, _options, done) => {
    work.addHook("onRequest", onlyWhenReady(ports.readiness));
    warnOfIgnored(work);
    const measured = { ...ports, generator: ports.metrics.measure(ports.generator) };
    completionsRoute(work, measured, options);
    chatRoute(work, measured, options);
    tokenizerRoutes(work, ports);
    done();
  });
  methods.refuse();
  await app.ready();
  return app;
}

function createServer(ports: GatewayPorts, options: GatewayOptions): FastifyInstance {
  const app = fastify({
    loggerInstance: ports.logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (raw) => requestIdOf(raw, ports.newRequestId),
    bodyLimit: options.bodyBytesMax,
    // Bounds how long a request may take to arrive; an answer may stream for as long as it needs.
    requestTimeout: options.receiveTimeoutMs,
    connectionTimeout: 0,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    http: {
      maxHeaderSize: options.headerBytesMax,
      headersTimeout: options.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(options.headersTimeoutMs, 5000),
    },
    // The readiness check answers in OpenAI's form instead.
    return503OnClosing: false,
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 512 },
    clientErrorHandler: clientErrorHandler(ports),
    frameworkErrors: (error, request, reply) => {
      reply.header("x-request-id", request.id);
      app.errorHandler(error, request as never, reply as never);
    },
  });
  app.server.maxConnections = options.connectionsMax;
  return app as unknown as FastifyInstance;
}

function validate(
  schema: ZodType,
  httpPart: string | undefined,
  data: unknown,
): { value: unknown } | { error: Error } {
  try {
    return { value: httpPart === "body" ? parseBody(schema, data) : schema.parse(data) };
  } catch (error) {
    return { error: error as Error };
  }
}
