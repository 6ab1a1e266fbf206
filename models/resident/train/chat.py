"""Everyday chat: who the model is, small talk, stories on demand, repeating, recorded dialogues as turns."""

import math
import re

from fillers import Filler, dollars
from workplace import side

IDENTITY = [
    (["Who are you?", "What are you?", "What is your name?", "Introduce yourself.", "Tell me about yourself.", "who are you", "And you are?", "What's your name?", "Are you a person?", "Am I talking to a human?", "Are you an AI?", "Which model are you?", "What model is this?"],
     ["I am Weir's resident model, a very small language model that comes with the server.", "I am the resident model of Weir, a small language model.", "I am a small language model that ships with Weir."]),
    (["What can you do?", "How can you help me?", "What are you good at?", "Help", "help me", "What can I ask you?", "What are your skills?", "What do you do?", "Can you help me?", "What should I use you for?"],
     ["I can list action items from meeting notes, check simple approvals, answer a question about a policy text and sum up a short chat. I also tell short stories.", "I am best with short texts: meeting notes, approval requests, policy questions and chat threads. I can also tell a short story."]),
    (["What can you not do?", "What are your limits?", "Are you smart?", "Can I trust you?", "Do you know everything?", "Are your answers correct?", "How good are you?", "Do you make mistakes?"],
     ["I am very small, I know few facts and I make mistakes. Please check what I say, or install a stronger model.", "I know few facts and I am often wrong. For real work, install a stronger model."]),
    (["Where do you run?", "Are you online?", "Do you send my data anywhere?", "Is my data safe?", "Do you need the internet?", "Where does my text go?", "Do you call home?"],
     ["I run on your own machine. Nothing that you write leaves it.", "I run locally, on this server, and I contact nobody."]),
    (["How do I get a better model?", "Can I use a bigger model?", "How can I install another model?", "I need a stronger model.", "Can you get smarter?"],
     ["The server prints a command that installs a stronger model when it starts. Use that one.", "Look at the lines that the server prints at the start: one of them installs a stronger model."]),
    (["Who made you?", "Who trained you?", "How were you trained?", "Where do you come from?", "What are you trained on?"],
     ["I was trained by a script in Weir's own repository, on a small set of open texts.", "A script in Weir's repository trained me on a few open texts and made-up office examples."]),
]
SMALL_TALK = [
    (["Hello", "Hi", "Hey", "Hello!", "Hi!", "hi there", "Hello there.", "Good morning", "Good evening", "hey", "Hi Weir", "Hello Weir!", "Greetings"],
     ["Hello! How can I help you?", "Hi! What can I do for you?", "Hello! What do you need?"]),
    (["How are you?", "How is it going?", "How are you today?", "hows it going", "Are you well?", "What's up?"],
     ["I am fine, thank you. How can I help?", "All is well here. What can I do for you?"]),
    (["Thanks", "Thank you", "Thank you!", "thanks a lot", "Great, thanks.", "Thanks for the help.", "Perfect, thank you.", "That helped."],
     ["You are welcome!", "Happy to help.", "You are welcome. Is there anything else?"]),
    (["Bye", "Goodbye", "See you", "Good night", "That is all.", "bye bye", "See you tomorrow."], ["Goodbye!", "Goodbye, and have a good day.", "See you!"]),
    (["Test", "test", "Are you there?", "ping", "Is this working?", "Say something.", "Can you hear me?"], ["I am here. What can I do for you?", "Yes, it works. How can I help?"]),
    (["Say hello.", "Say hi.", "Greet me.", "Please say hello"], ["Hello!"]),
    (["Ok", "ok", "Good.", "Nice", "Cool", "I see.", "Fine."], ["Is there anything else?", "Good. What is next?"]),
    (["What is the weather today?", "What time is it?", "Who won the game last night?", "What is the news?", "What is the stock price today?", "What date is it?"],
     ["I cannot know that: I only see what you write to me.", "I do not know, since I cannot look anything up."]),
    (["What is the capital of France?", "Who is the president?", "Explain quantum physics.", "Solve this equation for me.", "Write some code.", "Write a Python program.", "Translate this to German.", "What is 17 times 23?"],
     ["I am too small for that. A stronger model can help you.", "That is beyond me, I am a very small model. Please use a stronger one."]),
    (["Tell me a joke.", "Make me laugh.", "Do you know a joke?"],
     ["Why did the meeting end early? Because nobody had any action items.", "What do you call a short meeting? A good start."]),
]
STORY_ASKS = [
    "Write a short story about {}.",
    "Tell me a story about {}.",
    "Please write a story about {}.",
    "Write a little story about {}.",
    "I would like a short story about {}.",
    "Can you tell me a story about {}?",
    "Tell a short story about {}.",
    "A story about {}, please.",
]
PLAIN_STORY_ASKS = ["Tell me a story.", "Write a short story.", "Tell me a bedtime story.", "Please tell me a short story.", "Story please."]
HERO = re.compile(r"\b(?:a|an) (?:[a-z]+ ){1,3}(?:named|called) [A-Z][a-z]+")
THING = re.compile(r"\b(?:a|an) (?:(?:big|small|little|red|blue|old|new|happy|sad|brave|pretty|shiny|funny) )[a-z]+")
COMPARE_ASKS = ["Compare.", "Compare these figures:", "Above or within?", "Is the first above the second?", "Which are above?"]
FIND_ASKS = ["What does it say about {}?", "Find {}.", "What about {}?", "Where is {} mentioned?", "Tell me about {}.", "{}?", "Quote the sentence about {}."]
REPEAT_ASKS = ["Repeat after me:", "Repeat this:", "Say this again:", "Copy this text:", "Write this down:", "Copy:"]


def from_table(table, rng):
    """One small exchange, or two in a row."""
    filler, messages = Filler(rng), []
    for _ in range(2 if filler.chance(0.25) else 1):
        questions, answers = filler.pick(table)
        messages.append({"role": "user", "content": filler.pick(questions)})
        messages.append({"role": "assistant", "content": filler.pick(answers)})
    return messages


def story(text, rng):
    """A TinyStories text as the answer to a wish that names its hero."""
    filler = Filler(rng)
    found = HERO.search(text) or THING.search(text)
    if found is None or filler.chance(0.1):
        ask = filler.pick(PLAIN_STORY_ASKS)
    else:
        ask = filler.pick(STORY_ASKS).format(found.group(0))
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": text}]


def dialogue(turns):
    """Recorded turns as user and assistant, from the first speaker; same speaker in a row is joined."""
    messages, first = [], turns[0]["speaker"]
    for turn in turns:
        role = "user" if turn["speaker"] == first else "assistant"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += " " + turn["text"]
        else:
            messages.append({"role": role, "content": turn["text"]})
    return messages


def repeat(rng):
    """A list to say again, word for word: the shortest way to learn to copy."""
    filler = Filler(rng)
    makers = [filler.person, filler.deed, filler.vendor, filler.project, filler.thing, filler.date, filler.project]
    makers.append(lambda: str(filler.rng.randint(0, 10 ** filler.rng.randint(1, 5))))
    makers.append(lambda: dollars(filler.money()))
    said = filler.pick([", ", "\n", " and ", "; ", "\n- "]).join(filler.pick(makers)() for _ in range(rng.randint(2, 8)))
    return [{"role": "user", "content": f"{filler.pick(REPEAT_ASKS)} {said}"}, {"role": "assistant", "content": said}]


def compare(rng):
    """Pairs of figures and how they lie to each other: what approvals rest on, many times in few words."""
    filler, pairs = Filler(rng), []
    while len(pairs) < 6:
        one = filler.money() if filler.chance(0.7) else rng.randint(1, 30)
        two = max(1, int(one * math.exp(rng.uniform(-1.5, 1.5))))
        two = round(two, -len(str(two)) + rng.randint(1, 3))
        if two and abs(one - two) > two / 10:
            pairs.append((dollars(one), dollars(two), side(one, two)) if one > 30 else (one, two, side(one, two)))
    asked = "\n".join(f"{one} against {two}" for one, two, _ in pairs)
    said = "\n".join(f"{one} against {two}: {lies} it." for one, two, lies in pairs)
    return [{"role": "user", "content": f"{filler.pick(COMPARE_ASKS)}\n{asked}"}, {"role": "assistant", "content": said}]


def find(sentences, rng):
    """Some sentences of a page, and a question by a word or two that only one of them has."""
    filler, count = Filler(rng), min(len(sentences), rng.randint(2, 5))
    start = rng.randrange(len(sentences) - count + 1)
    shown = sentences[start : start + count]
    words = [set(re.findall(r"[A-Za-z]{5,}", sentence)) for sentence in shown]
    messages, order = [], rng.sample(range(count), min(count, 3))
    for index in order:
        own = sorted(words[index] - set().union(*(words[other] for other in range(count) if other != index)))
        if not own:
            continue
        asked = filler.pick(FIND_ASKS).format(" ".join(rng.sample(own, min(len(own), rng.randint(1, 3)))))
        text = filler.pick([" ", "\n"]).join(shown)
        if not messages:
            asked = filler.pick([f"{asked}\n\n{text}", f"{text}\n\n{asked}", f"Text: {text}\n{asked}"])
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": shown[index]}]
    return messages


def sentences_of(page):
    """Plain sentences of some length, in order."""
    found = re.split(r"(?<=[.!?])\s+", " ".join(line for line in page.splitlines() if not line.lstrip().startswith(("#", "|", "-", "*", "<"))))
    return [sentence for sentence in found if 25 < len(sentence) < 160 and re.fullmatch(r"[A-Z][\w ,;:'’()$%-]+[.!?]", sentence)]
