"""Seeded generator of the four workplace tasks: action items, approvals, HR answers, summaries.

`example(task, rng, held_out_fillers, held_out_wording)` gives one example: the messages and what the
evaluation needs to check an answer. In every list of wordings the last entry is held out: training
never sees it, `held_out_wording` uses nothing else where a list has one.
"""

from fillers import CAUSES, DISHES, FIXES, GOODS, SYSTEMS, WEEKDAYS, Filler, dollars

SYSTEM_LINES = [
    "You are a helpful assistant.",
    "You are a helpful workplace assistant. Answer briefly.",
    "You are Weir, a small assistant for office work.",
    "Answer only from the text you are given.",
    "Be short and exact.",
    "You help a busy team. Use plain words.",
]


class Writer(Filler):
    """A filler that also chooses wordings, from one side of their split."""

    def __init__(self, rng, held_out_fillers=False, held_out_wording=False):
        super().__init__(rng, held_out_fillers)
        self.held_out_wording = held_out_wording

    def word(self, wordings, **slots):
        chosen = wordings[-1] if self.held_out_wording else self.pick(wordings[:-1])
        return chosen.format(**slots) if slots else chosen

    def ask(self, instruction, text):
        """Instruction and text in one of the usual arrangements."""
        return self.pick([f"{instruction}\n\n{text}", f"{instruction}\n{text}", f"{text}\n\n{instruction}"])


# ---- meeting notes -> action items

ITEM_ASKS = [
    "List the action items.",
    "What are the action items in these meeting notes?",
    "Extract the action items from the notes.",
    "Turn these meeting notes into action items.",
    "Who has to do what? List the tasks.",
    "Give me the to-do list from this meeting.",
    "Please list the action items with owner and due date.",
    "Action items?",
    "Read the notes and write down the action items.",
    "Which tasks were agreed in this meeting?",
    "Pull the action items out of the notes below.",
    "Make a list of the follow-up tasks from these notes.",
    "Summarise the follow-ups: who does what by when?",
    "Find every action item in the following notes.",
]
PROMISES = [
    "{name} will {deed} by {date}.",
    "{name} to {deed} by {date}.",
    "{name} agreed to {deed} by {date}.",
    "{name} is going to {deed} by {date}.",
    "{name} has to {deed} by {date}.",
    "By {date}, {name} will {deed}.",
    "Action: {name} will {deed} by {date}.",
    "{name} said they would {deed} by {date}.",
    "{name} needs to {deed} by {date}.",
    "{name} offered to {deed} by {date}.",
    "It was agreed that {name} will {deed} by {date}.",
    "{name} should {deed} by {date}.",
    "{name} promised to {deed} by {date}.",
    "We asked {name} to {deed} by {date}.",
    "{name} volunteered to {deed} by {date}.",
]
OPEN_PROMISES = [
    "{name} will {deed}.",
    "{name} to {deed}.",
    "{name} agreed to {deed}.",
    "{name} is going to {deed}.",
    "{name} has to {deed}.",
    "{name} needs to {deed}.",
    "We asked {name} to {deed}.",
    "{name} volunteered to {deed}.",
]
REMARKS = [
    "The {project} launch went well.",
    "Sales grew by {number} percent.",
    "{name} was not able to join.",
    "The team discussed the {thing}.",
    "{name} showed the new {thing}.",
    "There were no objections to the {thing}.",
    "The {team} team is short of people this month.",
    "{vendor} raised its prices by {number} percent.",
    "The next meeting is on {weekday}.",
    "Customers like the new {thing}.",
    "{name} thanked everyone for the help with {project}.",
    "The {thing} is still open for discussion.",
    "We lost {number} customers last quarter.",
    "The {thing} was finished last week.",
    "{name} reported that {project} is on track.",
]
NOTE_HEADS = ["Meeting notes, {project}", "Notes from the {team} meeting", "{project} weekly sync", "{team} team, {weekday}"]


def action_items(w):
    items, lines = [], []
    count = w.pick([1, 1, 2, 2, 2, 3, 3, 4]) if w.chance(0.95) else 0
    for name in w.people(count):
        deed = w.deed()
        if w.chance(0.75):
            date = w.date()
            lines.append(w.word(PROMISES, name=name, deed=deed, date=date))
            items.append(f"- {name}: {deed} (by {date})")
        else:
            lines.append(w.word(OPEN_PROMISES, name=name, deed=deed))
            items.append(f"- {name}: {deed}")
    for _ in range(w.rng.randint(1, 3)):
        lines.insert(w.rng.randint(0, len(lines)), remark(w))
    style = w.rng.randrange(3)
    notes = " ".join(lines) if style == 0 else "\n".join(("- " if style == 1 else "") + line for line in lines)
    if w.chance(0.5):
        head = w.pick(NOTE_HEADS).format(project=w.project(), team=w.team().capitalize(), weekday=w.pick(WEEKDAYS))
        notes = f"{head}\n{notes}"
    elif w.chance(0.5):
        notes = f"Notes: {notes}" if style == 0 else f"Notes:\n{notes}"
    answer = "\n".join(items) if items else "No action items."
    return w.ask(w.word(ITEM_ASKS), notes), answer, {"items": items, "first": lines[0]}


def remark(w):
    return w.word(
        REMARKS,
        project=w.project(),
        number=w.number(2, 60),
        name=w.person(),
        thing=w.thing(),
        team=w.team(),
        vendor=w.vendor(),
        weekday=w.pick(WEEKDAYS),
    )


# ---- approval request -> approve or escalate, with the reason

APPROVAL_ASKS = [
    "Approve or escalate?",
    "Should this be approved or escalated? Give a reason.",
    "Decide: approve or escalate, with a short reason.",
    "Check the request against the rule and answer approve or escalate.",
    "Can this be approved, or must it be escalated?",
    "Is this within the rules? Say approve or escalate and why.",
    "Please review this request: approve or escalate?",
    "Does this request need to be escalated?",
    "What is the decision, approve or escalate?",
]
SPENDING = [
    "{name} asks to spend {amount} on {good}.",
    "{name} from {team} wants to buy {good} for {amount}.",
    "Request from {name}: {good}, {amount}.",
    "{name} would like {good}. The cost is {amount}.",
    "Purchase request: {good} for {amount}, requested by {name}.",
    "{name} needs {good} from {vendor}; the price is {amount}.",
    "The {team} team requests {amount} for {good}.",
    "{name} has submitted a request of {amount} for {good}.",
]
LIMITS = [
    "Requests up to {limit} can be approved. Anything above must be escalated.",
    "The limit is {limit}.",
    "Rule: approve up to {limit}, escalate above it.",
    "Managers may approve at most {limit}.",
    "Spending over {limit} needs a director, so escalate it.",
    "Approval limit: {limit}.",
    "Everything that costs more than {limit} has to be escalated.",
]
BUDGETS = [
    "The {team} budget has {limit} left.",
    "There is {limit} left in the budget.",
    "Remaining budget: {limit}.",
    "{limit} of this quarter's budget is still free.",
]
LEAVE = [
    "{name} asks for {days} days of leave.",
    "{name} wants to take {days} days off from {date}.",
    "Leave request from {name}: {days} days.",
    "{name} would like to be away for {days} days.",
]
LEAVE_LEFT = [
    "{name} has {left} days left.",
    "Days left this year: {left}.",
    "The balance of {name} is {left} days.",
    "{left} days of leave remain for {name}.",
]
QUOTE_RULES = [
    "A quote must be attached, otherwise escalate.",
    "Rule: no quote, no approval. Escalate requests without a quote.",
    "Requests without a quote are escalated.",
    "Escalate when the quote is missing.",
]
QUOTE_THERE = ["A quote is attached.", "The quote is attached.", "Quote: attached.", "The request includes a quote."]
QUOTE_MISSING = ["No quote is attached.", "The quote is missing.", "Quote: none.", "The request comes without a quote."]
VENDOR_RULES = [
    "Approved vendors: {vendors}. Escalate all others.",
    "Only these vendors may be approved: {vendors}.",
    "The vendor list is {vendors}. Anyone else must be escalated.",
    "Rule: buy from {vendors}; escalate everything else.",
]
VENDOR_LINES = [
    "{name} wants to buy {good} from {vendor} for {amount}.",
    "{name} asks for {good} from {vendor}, {amount}.",
    "Purchase request by {name}: {good}, vendor {vendor}, {amount}.",
    "{name} has ordered {good} at {vendor} and needs approval for {amount}.",
]


def approval(w):
    kind = w.pick([spending_limit, spending_limit, spending_budget, leave_balance, quote_rule, vendor_rule])
    should_approve = w.chance(0.5)
    request, rule, reason = kind(w, should_approve)
    parts = [request, rule] if w.chance(0.6) else [rule, request]
    text = w.pick([" ", "\n"]).join(parts)
    decision = "Approve" if should_approve else "Escalate"
    return w.ask(w.word(APPROVAL_ASKS), text), f"{decision}: {reason}", {"decision": decision, "first": parts[0]}


def _two_sides(w, should_approve):
    """A cost and a limit with the cost on the wanted side, and never within a tenth of it."""
    while True:
        cost, limit = w.money(), w.pick([100, 150, 200, 250, 300, 400, 500, 600, 750, 800, 1000, 1200, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 8000, 10000])
        if (cost <= limit) == should_approve and abs(cost - limit) > limit / 10 and limit / 8 < cost < limit * 8:
            return dollars(cost), dollars(limit)


def spending_limit(w, should_approve):
    amount, limit = _two_sides(w, should_approve)
    request = w.word(SPENDING, name=w.person(), team=w.team(), vendor=w.vendor(), good=w.slot(GOODS), amount=amount)
    side = "within" if should_approve else "above"
    return request, w.word(LIMITS, limit=limit), f"{amount} is {side} the limit of {limit}."


def spending_budget(w, should_approve):
    amount, limit = _two_sides(w, should_approve)
    request = w.word(SPENDING, name=w.person(), team=w.team(), vendor=w.vendor(), good=w.slot(GOODS), amount=amount)
    reason = f"{amount} fits in the {limit} left in the budget." if should_approve else f"{amount} is more than the {limit} left in the budget."
    return request, w.word(BUDGETS, limit=limit, team=w.team()), reason


def leave_balance(w, should_approve):
    name = w.person()
    while True:
        days, left = w.rng.randint(1, 25), w.rng.randint(1, 30)
        if (days <= left) == should_approve:
            break
    request = w.word(LEAVE, name=name, days=days, date=w.date())
    reason = f"{name} asks for {days} days and has {left} left."
    return request, w.word(LEAVE_LEFT, name=name, left=left), reason


def quote_rule(w, should_approve):
    request = w.word(SPENDING, name=w.person(), team=w.team(), vendor=w.vendor(), good=w.slot(GOODS), amount=dollars(w.money()))
    request += " " + w.word(QUOTE_THERE if should_approve else QUOTE_MISSING)
    return request, w.word(QUOTE_RULES), "a quote is attached." if should_approve else "the quote is missing."


def vendor_rule(w, should_approve):
    listed = [w.vendor() for _ in range(w.rng.randint(2, 4))]
    vendor = w.pick(listed) if should_approve else w.vendor()
    request = w.word(VENDOR_LINES, name=w.person(), good=w.slot(GOODS), vendor=vendor, amount=dollars(w.money()))
    reason = f"{vendor} is on the vendor list." if vendor in listed else f"{vendor} is not on the vendor list."
    return request, w.word(VENDOR_RULES, vendors=", ".join(listed)), reason


# ---- HR question + policy paragraph -> answer
# Each topic: how a value is drawn, statements, questions, answer.


def _count(low, high, unit):
    return lambda w: f"{w.rng.randint(low, high)} {unit}"


def _money(low, high):
    return lambda w: dollars(w.money(low, high))


TOPICS = [
    (_count(18, 35, "days"), ["Full-time staff get {v} of paid leave a year.", "Annual leave is {v}.", "Every employee has {v} of vacation.", "The yearly holiday allowance is {v}."],
     ["How many days of leave do I get?", "What is the annual leave?", "How much vacation do I have?", "How long is my paid holiday?"], "You get {v} of paid leave a year."),
    (_count(1, 6, "months"), ["The notice period is {v}.", "Anyone who leaves must give {v} of notice.", "Notice: {v}.", "Employees resign with {v} of notice."],
     ["What is the notice period?", "How much notice do I have to give?", "How long is my notice?", "If I resign, how much notice is needed?"], "The notice period is {v}."),
    (_count(8, 40, "weeks"), ["Parents may take {v} of parental leave.", "Parental leave is {v} at full pay.", "New parents get {v} off.", "Staff with a new child receive {v} of parental leave."],
     ["How long is parental leave?", "How much time off do new parents get?", "What is the parental leave?", "I am having a baby. How long can I be away?"], "Parental leave is {v}."),
    (_count(1, 5, "days a week"), ["Staff may work from home {v}.", "Remote work is allowed {v}.", "You can work remotely {v}.", "Home office is possible {v}."],
     ["How often can I work from home?", "How many remote days are allowed?", "What is the remote work rule?", "Can I do home office, and how often?"], "You can work from home {v}."),
    (_count(10, 90, "days"), ["Expenses must be claimed within {v}.", "Send in your receipts within {v}.", "Expense claims are due after {v}.", "Receipts older than {v} are not paid."],
     ["When do I have to claim expenses?", "How long do I have to hand in receipts?", "What is the deadline for expenses?", "By when must an expense claim be sent?"], "Expenses must be claimed within {v}."),
    (_money(20, 120), ["The meal allowance is {v} a day.", "On trips you may spend {v} a day on meals.", "Meals are paid up to {v} a day.", "For food on a business trip we pay {v} a day."],
     ["What is the meal allowance?", "How much can I spend on meals?", "What is paid for food on a trip?", "How much is the daily food money?"], "The meal allowance is {v} a day."),
    (_money(200, 5000), ["Each person has a training budget of {v}.", "The yearly training budget is {v}.", "We pay up to {v} a year for courses.", "For learning, {v} is available per person."],
     ["How much is the training budget?", "What can I spend on courses?", "How much money is there for training?", "What does the company pay for learning?"], "The training budget is {v} a year."),
    (_count(1, 7, "days"), ["A doctor's note is needed after {v} of sickness.", "If you are sick for more than {v}, send a doctor's note.", "Sick notes are required after {v}.", "After {v} of illness, bring a certificate."],
     ["When do I need a doctor's note?", "After how many days is a sick note required?", "When must I send a sick note?", "I am ill. When is a certificate needed?"], "A doctor's note is needed after {v}."),
    (_count(2, 9, "months"), ["Probation lasts {v}.", "The probation period is {v}.", "New staff are on probation for {v}.", "The trial period ends after {v}."],
     ["How long is probation?", "What is the probation period?", "How long are new staff on probation?", "When does the trial period end?"], "Probation lasts {v}."),
    (_count(2, 6, "years"), ["Laptops are replaced every {v}.", "You get a new laptop after {v}.", "The laptop cycle is {v}.", "A computer is exchanged after {v}."],
     ["When do I get a new laptop?", "How often are laptops replaced?", "How old must a laptop be before it is replaced?", "How long must I keep my computer?"], "Laptops are replaced every {v}."),
    (_money(100, 5000), ["The referral bonus is {v}.", "For a successful referral we pay {v}.", "Staff who refer a new colleague get {v}.", "Whoever recommends a hire receives {v}."],
     ["How much is the referral bonus?", "What do I get for a referral?", "Is there a bonus for referring someone?", "What is paid when I recommend a hire?"], "The referral bonus is {v}."),
    (_count(1, 10, "days"), ["Up to {v} of leave can be carried over.", "You may carry over {v} into the next year.", "At most {v} move to the next year.", "Unused leave is kept up to {v}."],
     ["How much leave can I carry over?", "How many days can be carried over?", "Can I move leave to the next year?", "What happens to my unused leave?"], "You can carry over {v}."),
    (_count(2, 10, "days"), ["Bereavement leave is {v}.", "After a death in the family you get {v} off.", "For a family death, {v} are paid.", "Staff who lose a relative may take {v}."],
     ["How long is bereavement leave?", "What leave is there after a death in the family?", "How much bereavement leave do we have?", "A relative died. How long may I stay away?"], "Bereavement leave is {v}."),
    (lambda w: f"the {w.rng.randint(4, 20)}th", ["Salaries are paid on {v} of the month.", "Pay day is {v}.", "We pay wages on {v} of each month.", "The salary arrives on {v}."],
     ["When is pay day?", "When are salaries paid?", "On which day do I get my pay?", "When does my salary arrive?"], "Salaries are paid on {v} of the month."),
    (_count(1, 20, "percent"), ["The yearly bonus is up to {v} of salary.", "A bonus of {v} is possible.", "Staff can earn a bonus of {v}.", "The target bonus is {v}."],
     ["How big is the bonus?", "What bonus can I get?", "What is the yearly bonus?", "How much bonus is possible?"], "The bonus is up to {v}."),
    (_count(5, 60, "days"), ["Working from abroad is allowed for {v} a year.", "You may work abroad for {v}.", "Up to {v} a year can be worked from another country.", "Work from another country is limited to {v}."],
     ["How long can I work from abroad?", "How many days abroad are allowed?", "Can I work from another country?", "What is the limit for working abroad?"], "You can work from abroad for {v} a year."),
    (_money(50, 600), ["On-call duty is paid with {v} a week.", "The on-call rate is {v}.", "Each on-call week brings {v}.", "For being on call you receive {v}."],
     ["How much is paid for on-call duty?", "What is the on-call rate?", "What do I get for being on call?", "How is on call paid?"], "On-call duty is paid with {v}."),
    (_count(1, 6, "days"), ["Staff may volunteer {v} a year.", "There are {v} for volunteering.", "Volunteering is paid for {v}.", "For charity work you have {v}."],
     ["How many days can I volunteer?", "How much time is there for volunteering?", "What is the volunteering rule?", "How long may I do charity work?"], "You have {v} for volunteering."),
    (_count(3, 10, "years"), ["A sabbatical is possible after {v}.", "After {v} you can take a sabbatical.", "Sabbaticals are open to staff with {v} of service.", "Long leave can be taken after {v} of work."],
     ["When can I take a sabbatical?", "After how long is a sabbatical possible?", "Who can have a sabbatical?", "When may I take long leave?"], "A sabbatical is possible after {v}."),
    (lambda w: f"{w.rng.randint(8, 10)}:{w.pick(['00', '30'])} to {w.rng.randint(14, 17)}:{w.pick(['00', '30'])}", ["Core hours are {v}.", "Everyone should be reachable from {v}.", "The core time is {v}.", "Please be available from {v}."],
     ["What are the core hours?", "When do I have to be reachable?", "What is the core time?", "At what times must I be available?"], "Core hours are {v}."),
    (lambda w: w.person(), ["Questions go to {v} in HR.", "Contact {v} for questions.", "{v} answers all questions about this.", "If anything is unclear, write to {v}."],
     ["Who can I ask?", "Who is the contact?", "Who answers questions?", "To whom do I write if something is unclear?"], "You can ask {v}."),
    (lambda w: w.person(), ["Leave must be approved by {v}.", "{v} approves leave.", "Requests for leave go to {v}.", "Your leave has to be signed by {v}."],
     ["Who approves my leave?", "Who has to approve leave?", "Where do I send a leave request?", "Who signs my leave?"], "Leave is approved by {v}."),
    (_money(10, 150), ["The gym allowance is {v} a month.", "We pay {v} a month for sports.", "For a gym membership you get {v}.", "Sport is supported with {v}."],
     ["How much is the gym allowance?", "What is paid for sports?", "Does the company pay for a gym?", "How much support is there for sport?"], "The gym allowance is {v} a month."),
    (_money(20, 200), ["Bus and train tickets are paid up to {v} a month.", "The travel subsidy is {v} a month.", "Commuters get {v} a month.", "For the way to work we add {v} a month."],
     ["What is the travel subsidy?", "How much is paid for bus and train?", "What do commuters get?", "Is my way to work paid?"], "The travel subsidy is {v} a month."),
    (_count(60, 365, "days"), ["Passwords must be changed every {v}.", "Change your password every {v}.", "A password is valid for {v}.", "Passwords expire after {v}."],
     ["How often must I change my password?", "When do I need a new password?", "How long is a password valid?", "When does my password expire?"], "Passwords must be changed every {v}."),
    (_count(1, 12, "weeks"), ["Leave should be requested {v} ahead.", "Ask for leave at least {v} before.", "Holiday requests need {v} of warning.", "Requests for time off must come {v} early."],
     ["How early must I ask for leave?", "When should leave be requested?", "How far ahead do I request holiday?", "How soon must I ask for time off?"], "Leave should be requested {v} ahead."),
    (lambda w: f"{w.invented()} Health", ["Health insurance is with {v}.", "Our health plan is run by {v}.", "Staff are insured with {v}.", "The medical cover comes from {v}."],
     ["Who is our health insurer?", "With whom is the health insurance?", "Which company runs the health plan?", "Who pays for the doctor?"], "Health insurance is with {v}."),
    (lambda w: f"room {w.rng.randint(100, 599)}", ["The HR office is in {v}.", "You find HR in {v}.", "HR sits in {v}.", "The people team works in {v}."],
     ["Where is the HR office?", "Where do I find HR?", "In which room is HR?", "Where does the people team sit?"], "The HR office is in {v}."),
]
HR_LABELS = ["Policy", "Company policy", "From the handbook", "HR policy", "Text", "Handbook"]
HR_LEADS = ["", "", "", "Answer from the policy. ", "Use the policy below. ", "According to the policy: ", "Please look at the handbook text: "]
UNKNOWN = "The policy does not say."


def hr_answer(w):
    topics = w.rng.sample(range(len(TOPICS)), w.rng.randint(2, 5))
    asked = topics[w.rng.randrange(len(topics))]
    is_missing = w.chance(0.12)
    sentences, value = [], None
    for topic in topics:
        draw, statements, _, _ = TOPICS[topic]
        drawn = draw(w)
        if topic == asked:
            value = drawn
        if not (is_missing and topic == asked):
            sentences.append(w.word(statements, v=drawn))
    _, _, questions, answer = TOPICS[asked]
    policy = w.pick([" ", "\n", " "]).join(sentences)
    policy = w.pick([f"{w.pick(HR_LABELS)}: {policy}", f"{w.pick(HR_LABELS)}:\n{policy}", policy])
    question = w.pick(HR_LEADS) + w.word(questions)
    reply = UNKNOWN if is_missing else answer.format(v=value)
    reply = reply[0].upper() + reply[1:]
    return w.ask(question, policy), reply, {"value": UNKNOWN if is_missing else value, "first": sentences[0]}


# ---- chat thread -> summary

SUMMARY_ASKS = [
    "Summarise this thread.",
    "Summarize the chat.",
    "What was this conversation about?",
    "Give me a short summary of the thread.",
    "Please sum up the following messages.",
    "What happened in this chat?",
    "Write a one or two sentence summary.",
    "TL;DR?",
    "I missed this thread. What did I miss?",
    "Can you summarise the discussion below?",
    "Bring me up to date on these messages.",
]
CHATTER = ["Ok.", "Thanks!", "Thank you.", "Sounds good.", "Great.", "Sure.", "Got it.", "Perfect.", "Yes.", "Nice.", "Good to know.", "Hello all.", "Good morning.", "Understood."]


def outage(w, a, b):
    system, cause, fix, time = w.slot(SYSTEMS), w.slot(CAUSES), w.slot(FIXES), w.clock()
    lines = [
        (a, w.word(["The {s} is down.", "Is the {s} broken for anyone else?", "I cannot reach the {s}.", "The {s} does not work.", "We have a problem with the {s}.", "Something is wrong with the {s}."], s=system)),
        (b, w.word(["I found {c}.", "It is {c}.", "The reason is {c}.", "Looks like {c}.", "This was caused by {c}.", "My guess was right, it is {c}."], c=cause)),
        (b, w.word(["I will {f} by {t}.", "I am going to {f} before {t}.", "Give me until {t}, I will {f}.", "I can {f} by {t}.", "My plan: {f} by {t}."], f=fix, t=time)),
    ]
    return lines, f"{a} reported a problem with the {system}. {b} found {cause} and will {fix} by {time}."


def moved_meeting(w, a, b):
    project, old, new = w.project(), w.date(), w.date()
    reason = w.pick(["I am travelling", "I have a doctor's visit", "the room is taken", "the client is away", "I have a clash", "the slides are late"])
    lines = [
        (a, w.word(["Can we move the {p} meeting on {o}? {r}.", "I cannot make the {p} meeting on {o}, {r}.", "About the {p} meeting on {o}: {r}.", "Sorry, {r}, so {o} is bad for the {p} meeting."], p=project, o=old, r=reason)),
        (b, w.word(["How about {n}?", "Does {n} work?", "Would {n} be better?", "{n} is free for me.", "Shall we take {n}?"], n=new)),
        (a, w.word(["That works.", "Yes, that is fine.", "Good for me.", "Perfect, see you then.", "Fine with me."])),
    ]
    return lines, f"{a} and {b} moved the {project} meeting from {old} to {new}."


def vendor_choice(w, a, b):
    one, two, good = w.vendor(), w.vendor(), w.slot(GOODS)
    first, second = dollars(w.money()), dollars(w.money())
    lines = [
        (a, w.word(["We have two offers for {g}: {x} for {p} and {y} for {q}.", "For {g}, {x} wants {p} and {y} wants {q}.", "Offers for {g}: {x} {p}, {y} {q}.", "I got prices for {g}. {x} asks {p}, {y} asks {q}."], g=good, x=one, p=first, y=two, q=second)),
        (b, w.word(["Let us take {x}.", "I would go with {x}.", "{x} looks better to me.", "Then we choose {x}.", "My vote is for {x}."], x=(chosen := w.pick([one, two])))),
        (a, w.word(["Ok, I will order it.", "Agreed, I will place the order.", "Fine, I will tell them.", "Good, I will send the order.", "Agreed."])),
    ]
    return lines, f"{a} had two offers for {good}, from {one} and {two}. They chose {chosen}."


def lunch(w, a, b):
    dish, place, time = w.slot(DISHES), w.invented(), w.clock()
    lines = [
        (a, w.word(["Who wants lunch?", "Lunch today?", "Anyone hungry?", "Shall we eat together?", "Is anyone up for lunch?"])),
        (b, w.word(["Let us get {d} at {p}.", "How about {d} from {p}?", "I would like {d} at {p}.", "{p} has good {d}.", "I vote for {d} at {p}."], d=dish, p=place)),
        (a, w.word(["Ok, {t} at the door.", "Fine, we meet at {t}.", "Good, let us go at {t}.", "See you at {t}.", "Deal, {t} then."], t=time)),
    ]
    return lines, f"{a} and {b} will have {dish} at {place} at {time}."


def document_review(w, a, b):
    thing, date, part = w.thing(), w.date(), w.pick(["the intro", "the numbers", "the last page", "the title", "the dates", "the prices", "the names", "the summary"])
    lines = [
        (a, w.word(["Can someone review the {x}?", "I need a review of the {x}.", "The {x} is ready for review.", "Please have a look at the {x}.", "Could anyone read the {x}?"], x=thing)),
        (b, w.word(["I read it, {p} must change.", "Looks good, but fix {p}.", "Please correct {p}.", "I would change {p}.", "Fine except for {p}."], p=part)),
        (a, w.word(["I will do that by {d}.", "Ok, done by {d}.", "You will have it by {d}.", "I will change it by {d}.", "Will be ready by {d}."], d=date)),
    ]
    return lines, f"{a} asked for a review of the {thing}. {b} wants {part} changed, and {a} will do it by {date}."


def handover(w, a, b):
    deed, start, end = w.deed(), w.date(), w.date()
    lines = [
        (a, w.word(["I am away from {s} to {e}. Can someone {d}?", "I will be on leave from {s} to {e}. Who can {d}?", "From {s} to {e} I am out. Someone needs to {d}.", "My holiday is from {s} to {e}, so please {d} for me."], s=start, e=end, d=deed)),
        (b, w.word(["I can do it.", "I will take that.", "Leave it to me.", "I will do it.", "Happy to help with that."])),
    ]
    return lines, f"{a} is away from {start} to {end}. {b} will {deed}."


def release(w, a, b):
    project, date, cause = w.project(), w.date(), w.slot(CAUSES)
    lines = [
        (a, w.word(["Can we ship {p} today?", "Is {p} ready to ship?", "Are we go for {p}?", "Do we release {p} now?", "What about the {p} release?"], p=project)),
        (b, w.word(["No, there is still {c}.", "Not yet, we have {c}.", "We are blocked by {c}.", "I would wait because of {c}.", "Sorry, I found {c}."], c=cause)),
        (a, w.word(["Then we ship on {d}.", "Ok, new date is {d}.", "Let us move it to {d}.", "Then {d}.", "We go live on {d} instead."], d=date)),
    ]
    return lines, f"The release of {project} is moved to {date} because of {cause}."


def hiring(w, a, b):
    name, team, date = w.person(), w.team(), w.date()
    lines = [
        (a, w.word(["How was the interview with {n} for {t}?", "What do you think of {n} for the {t} team?", "Did you meet {n}, the {t} candidate?", "Any thoughts on {n} for {t}?"], n=name, t=team)),
        (b, w.word(["Very good, I would hire.", "Strong, let us make an offer.", "I liked the talk, please hire.", "Great answers, I say yes.", "Excellent, we should hire."]) if (yes := w.chance(0.5)) else w.word(["Not a fit.", "I would say no.", "Too little experience.", "I was not convinced.", "Sadly not what we need."])),
        (a, w.word(["I will let them know by {d}.", "Ok, I will write by {d}.", "I will call by {d}.", "Then I answer by {d}.", "They hear from me by {d}."], d=date)),
    ]
    verdict = "wants to hire" if yes else "does not want to hire"
    return lines, f"{b} {verdict} {name} for the {team} team. {a} will tell them by {date}."


SCENES = [outage, outage, moved_meeting, vendor_choice, lunch, document_review, handover, release, hiring]


def thread_summary(w):
    a, b, c = w.people(3)
    lines, summary = w.pick(SCENES)(w, a, b)
    for _ in range(w.pick([0, 0, 1, 1, 2])):
        lines.insert(w.rng.randint(0, len(lines)), (w.pick([a, b, c]), w.pick(CHATTER)))
    style = w.pick(["{}: {}", "{}: {}", "[{}] {}", "<{}> {}"])
    thread = "\n".join(style.format(name, text) for name, text in lines)
    if w.chance(0.3):
        thread = f"{w.pick(['Thread:', 'Messages:', 'Chat:', 'Chat log:'])}\n{thread}"
    return w.ask(w.word(SUMMARY_ASKS), thread), summary, {"summary": summary, "first": lines[0][1]}


TASKS = {
    "action_items": action_items,
    "approval": approval,
    "hr_answer": hr_answer,
    "thread_summary": thread_summary,
}


def example(task, rng, held_out_fillers=False, held_out_wording=False):
    """One example: `messages` ending with the assistant's, and `check` for the evaluation."""
    w = Writer(rng, held_out_fillers, held_out_wording)
    prompt, answer, check = TASKS[task](w)
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    if w.chance(0.35):
        messages.insert(0, {"role": "system", "content": w.pick(SYSTEM_LINES)})
    return {"task": task, "messages": messages, "answer": answer, "check": check}
