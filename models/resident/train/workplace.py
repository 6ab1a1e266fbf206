"""Seeded generator of the four workplace tasks: action items, approvals, HR answers, summaries.

`example(task, rng, held_out_fillers, held_out_wording)` gives one example: the messages and what the
evaluation needs to check an answer. Training examples may go on with further questions about the same text. In every list of wordings the last entry is held out: training
never sees it, `held_out_wording` uses nothing else where a list has one.
"""

import math

from fillers import ADJECTIVES, CAUSES, DISHES, FIXES, GOODS, NOUNS, SYSTEMS, VERBS, WEEKDAYS, Filler, dollars

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
    "What needs to be done, and by whom?",
    "Write the action items.",
    "Make a to-do list out of this.",
    "Who does what by when?",
    "Collect the tasks from this meeting.",
    "Here are my notes. What are the tasks?",
    "Give me the tasks as a list.",
    "Note down the action points.",
    "Show me the open tasks from these minutes.",
    "What did people promise to do?",
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
    "{name} plans to {deed} by {date}.",
    "{name} wants to {deed} by {date}.",
    "{name} was asked to {deed} by {date}.",
    "{name} is expected to {deed} by {date}.",
    "{name} must {deed} by {date}.",
    "{name} can {deed} by {date}.",
    "{name}: {deed} by {date}.",
    "{name} - {deed} - by {date}.",
    "Task for {name}: {deed} by {date}.",
    "By {date} {name} has to {deed}.",
    "By {date}, {name} should {deed}.",
    "We decided that {name} will {deed} by {date}.",
    "The plan is that {name} will {deed} by {date}.",
    "{name} is happy to {deed} by {date}.",
    "{name} takes it on to {deed} by {date}.",
    "{name} confirmed that they will {deed} by {date}.",
    "Next step: {name} to {deed} by {date}.",
    "It is up to {name} to {deed} by {date}.",
    "{name} intends to {deed} by {date}.",
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
    "{name} plans to {deed}.",
    "{name} wants to {deed}.",
    "{name} was asked to {deed}.",
    "{name} must {deed}.",
    "{name}: {deed}.",
    "Task for {name}: {deed}.",
    "{name} offered to {deed}.",
    "{name} should {deed}.",
    "It was agreed that {name} will {deed}.",
    "{name} promised to {deed}.",
    "{name} said they would {deed}.",
    "Next step: {name} to {deed}.",
    "{name} intends to {deed}.",
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
    "{name} was late.",
    "{name} presented the {thing}.",
    "{name} liked the {thing} from {vendor}.",
    "{name} asked about the budget of {project}.",
    "{name} said that the {thing} looks good.",
    "{name} told us about {project}.",
    "We looked at the {thing}.",
    "Nobody had questions about the {thing}.",
    "{vendor} sent an offer.",
    "The {thing} from {vendor} is fine.",
    "{project} is {number} percent done.",
    "{name} is back on {weekday}.",
    "{name} and the {team} team met on {weekday}.",
    "Thanks to {name} for the {thing}.",
    "{number} people came to the {project} demo.",
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
    "Approve or escalate this request?",
    "Can I approve this?",
    "Is this fine, or does somebody have to look at it? Approve or escalate.",
    "Tell me: approve or escalate.",
    "May this go through? Answer approve or escalate.",
    "Check this request.",
    "Do I approve it or escalate it?",
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
    "{name} wants {good} for {amount}.",
    "{good} for {amount}, asked by {name}.",
    "{name} asks for {amount} to get {good}.",
    "{name} would like to order {good} at {amount}.",
    "{name} plans to pay {amount} for {good}.",
    "{name} ({team}): {good}, {amount}.",
    "Cost: {amount}. {name} needs {good}.",
    "{amount} is asked for {good} by the {team} team.",
    "{vendor} offers {good} to {name} for {amount}.",
    "{name} has submitted a request of {amount} for {good}.",
]
LIMITS = [
    "Requests up to {limit} can be approved. Anything above must be escalated.",
    "The limit is {limit}.",
    "Rule: approve up to {limit}, escalate above it.",
    "Managers may approve at most {limit}.",
    "Spending over {limit} needs a director, so escalate it.",
    "Approval limit: {limit}.",
    "Up to {limit} is fine, more must be escalated.",
    "Approve anything up to {limit}.",
    "Our limit is {limit}.",
    "Limit: {limit}.",
    "The rule is: at most {limit}, otherwise escalate.",
    "Requests above {limit} must be escalated.",
    "Purchases below {limit} need no director.",
    "Only requests of {limit} or less may be approved.",
    "No more than {limit} can be approved here.",
    "The team may spend {limit} by itself.",
    "The spending limit is {limit}.",
    "Everything that costs more than {limit} has to be escalated.",
]
BUDGETS = [
    "The {team} budget has {limit} left.",
    "There is {limit} left in the budget.",
    "Remaining budget: {limit}.",
    "The budget still has {limit}.",
    "{limit} is left in the {team} budget.",
    "Budget left: {limit}.",
    "We have {limit} left to spend.",
    "The {team} team has {limit} left.",
    "After the last order the budget holds {limit}.",
    "{limit} of this quarter's budget is still free.",
]
LEAVE = [
    "{name} asks for {days} days of leave.",
    "{name} wants to take {days} days off from {date}.",
    "Leave request from {name}: {days} days.",
    "{name} asks for {days} days off.",
    "{name}: {days} days of leave from {date}.",
    "Time off for {name}: {days} days.",
    "{name} plans {days} days of holiday.",
    "{name} requests {days} days of leave from {date}.",
    "{name} would like to be away for {days} days.",
]
LEAVE_LEFT = [
    "{name} has {left} days left.",
    "Days left this year: {left}.",
    "The balance of {name} is {left} days.",
    "{name} still has {left} days.",
    "{name} has {left} days of leave left.",
    "Leave balance: {left} days.",
    "Remaining leave of {name}: {left} days.",
    "There are {left} days left for {name}.",
    "{left} days of leave remain for {name}.",
]
QUOTE_RULES = [
    "A quote must be attached, otherwise escalate.",
    "Rule: no quote, no approval. Escalate requests without a quote.",
    "Requests without a quote are escalated.",
    "Approve only with a quote.",
    "A quote is required. Without it, escalate.",
    "We need a quote for each purchase, else escalate.",
    "Escalate when the quote is missing.",
]
QUOTE_THERE = ["A quote is attached.", "The quote is attached.", "Quote: attached.", "The quote is included.", "A quote is there.", "There is a quote from the vendor.", "The request includes a quote."]
QUOTE_MISSING = ["No quote is attached.", "The quote is missing.", "Quote: none.", "There is no quote.", "A quote is missing.", "Without a quote.", "The request comes without a quote."]
VENDOR_RULES = [
    "Approved vendors: {vendors}. Escalate all others.",
    "Only these vendors may be approved: {vendors}.",
    "The vendor list is {vendors}. Anyone else must be escalated.",
    "Allowed vendors: {vendors}.",
    "Vendor list: {vendors}. Escalate others.",
    "Vendors we may use: {vendors}.",
    "Approve purchases from {vendors}; others go to procurement, so escalate.",
    "Rule: buy from {vendors}; escalate everything else.",
]
VENDOR_LINES = [
    "{name} wants to buy {good} from {vendor} for {amount}.",
    "{name} asks for {good} from {vendor}, {amount}.",
    "Purchase request by {name}: {good}, vendor {vendor}, {amount}.",
    "{name} would like {good} from {vendor} at {amount}.",
    "{vendor} would deliver {good} to {name} for {amount}.",
    "{name} picked {vendor} for {good}, {amount}.",
    "Order of {good} at {vendor}, {amount}, by {name}.",
    "{name} has ordered {good} at {vendor} and needs approval for {amount}.",
]


def approval(w):
    """The answer copies the figures first and decides beside them."""
    kind = w.pick([spending_limit, spending_limit, spending_budget, leave_balance, quote_rule, vendor_rule])
    should_approve = w.chance(0.5)
    request, rule, reason, again = kind(w, should_approve)
    parts = [request, rule] if w.chance(0.6) else [rule, request]
    text = w.pick([" ", "\n"]).join(parts)
    check = {"decision": _decision(should_approve), "first": parts[0]}
    if not w.held_out and w.chance(0.6):
        check["more"] = [_next_request(w, again) for _ in range(w.rng.randint(1, 4))]
    return w.ask(w.word(APPROVAL_ASKS), text), f"{reason} {check['decision']}.", check


def _decision(should_approve):
    return "Approve" if should_approve else "Escalate"


def _next_request(w, again):
    """Another request under the rule that was given."""
    should_approve = w.chance(0.5)
    request, reason = again(w, should_approve)
    return w.pick(["", "And this? ", "Next: ", "What about this one? "]) + request, f"{reason} {_decision(should_approve)}."


LIMIT_STEPS = [100, 150, 200, 250, 300, 400, 500, 600, 750, 800, 1000, 1200, 1500, 2000, 2500, 3000, 4000, 5000, 7500, 8000, 10000]


def _limit(w):
    """Training sees limits of any size beside the usual ones."""
    return w.money() if not w.held_out and w.chance(0.4) else w.pick(LIMIT_STEPS)


def _cost(w, limit, should_approve):
    """A cost on the wanted side of the limit, and never within a tenth of it; None where none is found."""
    for _ in range(200):
        cost = w.money() if w.held_out or w.chance(0.5) else int(limit * math.exp(w.rng.uniform(-1, 1)))
        if (cost <= limit) == should_approve and abs(cost - limit) > limit / 10 and limit / 8 < cost < limit * 8 and cost >= 5:
            return cost
    return None


def _two_sides(w, should_approve):
    while True:
        limit = _limit(w)
        cost = _cost(w, limit, should_approve)
        if cost is not None:
            return cost, limit


def side(value, bound):
    """How one figure lies to another; the word on which a decision rests."""
    return "within" if value <= bound else "above"


def _spend(w, amount):
    return w.word(SPENDING, name=w.person(), team=w.team(), vendor=w.vendor(), good=w.slot(GOODS), amount=dollars(amount))


def _spending(w, should_approve, rules, name):
    cost, limit = _two_sides(w, should_approve)
    reason = lambda cost: f"{dollars(cost)} against {name} of {dollars(limit)}: {side(cost, limit)} it."

    def again(w, should_approve):
        cost = _cost(w, limit, should_approve) or (limit // 2 if should_approve else limit * 2)
        return _spend(w, cost), reason(cost)

    return _spend(w, cost), w.word(rules, limit=dollars(limit), team=w.team()), reason(cost), again


def spending_limit(w, should_approve):
    return _spending(w, should_approve, LIMITS, "a limit")


def spending_budget(w, should_approve):
    return _spending(w, should_approve, BUDGETS, "a budget")


def leave_balance(w, should_approve):
    name = w.person()
    while True:
        days, left = w.rng.randint(1, 25), w.rng.randint(1, 30)
        if (days <= left) == should_approve:
            break
    ask = lambda days: w.word(LEAVE, name=name, days=days, date=w.date())
    reason = lambda days: f"{days} days against a balance of {left}: {side(days, left)} it."

    def again(w, should_approve):
        days = w.rng.randint(1, left) if should_approve else left + w.rng.randint(1, 12)
        return ask(days), reason(days)

    return ask(days), w.word(LEAVE_LEFT, name=name, left=left), reason(days), again


def quote_rule(w, should_approve):
    def ask(w, should_approve):
        request = _spend(w, w.money()) + " " + w.word(QUOTE_THERE if should_approve else QUOTE_MISSING)
        return request, "A quote is attached." if should_approve else "The quote is missing."

    request, reason = ask(w, should_approve)
    return request, w.word(QUOTE_RULES), reason, ask


def vendor_rule(w, should_approve):
    listed = [w.vendor() for _ in range(w.rng.randint(2, 4))]

    def ask(w, should_approve):
        vendor = w.pick(listed) if should_approve else w.vendor()
        request = w.word(VENDOR_LINES, name=w.person(), good=w.slot(GOODS), vendor=vendor, amount=dollars(w.money()))
        return request, f"{vendor} is {'on' if vendor in listed else 'not on'} the vendor list."

    request, reason = ask(w, should_approve)
    return request, w.word(VENDOR_RULES, vendors=", ".join(listed)), reason, ask


# ---- HR question + policy paragraph -> answer
# Each topic: how a value is drawn, statements, questions. The answer is the policy's own sentence, so that
# finding and copying is all it takes, in any wording.


def _count(low, high, unit):
    return lambda w: f"{w.rng.randint(low, high)} {unit}"


def _money(low, high):
    return lambda w: dollars(w.money(low, high))


TOPICS = [
    (_count(18, 35, "days"), ["Full-time staff get {v} of paid leave a year.", "Annual leave is {v}.", "Every employee has {v} of vacation.", "Staff have {v} of annual leave.", "You have {v} of holiday each year.", "Paid leave: {v} a year.", "Annual leave is {v} a year.", "We give {v} of vacation.", "The yearly holiday allowance is {v}."],
     ["How many days of leave do I get?", "What is the annual leave?", "How much vacation do I have?", "What is my leave allowance?", "How many holidays do I have?", "How many vacation days are there?", "How many days off do I get a year?", "How long is my paid holiday?"]),
    (_count(1, 6, "months"), ["The notice period is {v}.", "Anyone who leaves must give {v} of notice.", "Notice: {v}.", "Notice is {v} for both sides.", "Leaving takes {v} of notice.", "The notice to give is {v}.", "Employees resign with {v} of notice."],
     ["What is the notice period?", "How much notice do I have to give?", "How long is my notice?", "What notice must I give?", "How long is the notice?", "How long before leaving do I give notice?", "If I resign, how much notice is needed?"]),
    (_count(8, 40, "weeks"), ["Parents may take {v} of parental leave.", "Parental leave is {v} at full pay.", "New parents get {v} off.", "Mothers and fathers get {v} of parental leave.", "We grant {v} of parental leave.", "The parental leave lasts {v}.", "Staff with a new child receive {v} of parental leave."],
     ["How long is parental leave?", "How much time off do new parents get?", "What is the parental leave?", "How many weeks of parental leave are there?", "How long may parents be away?", "What do new parents get?", "I am having a baby. How long can I be away?"]),
    (_count(1, 5, "days a week"), ["Staff may work from home {v}.", "Remote work is allowed {v}.", "You can work remotely {v}.", "Remote days: {v}.", "We allow remote work {v}.", "Everybody may be remote {v}.", "Home office is possible {v}."],
     ["How often can I work from home?", "How many remote days are allowed?", "What is the remote work rule?", "How much remote work is fine?", "How many days can I work from home?", "How often may I be remote?", "Can I do home office, and how often?"]),
    (_count(10, 90, "days"), ["Expenses must be claimed within {v}.", "Send in your receipts within {v}.", "Expense claims are due after {v}.", "Hand in expenses within {v}.", "You have {v} to claim expenses.", "An expense claim must come within {v}.", "Receipts older than {v} are not paid."],
     ["When do I have to claim expenses?", "How long do I have to hand in receipts?", "What is the deadline for expenses?", "How fast must I claim expenses?", "How many days do I have to claim expenses?", "What is the time limit for receipts?", "By when must an expense claim be sent?"]),
    (_money(20, 120), ["The meal allowance is {v} a day.", "On trips you may spend {v} a day on meals.", "Meals are paid up to {v} a day.", "We pay {v} a day for meals.", "Meal money is {v} a day.", "Meals: {v} a day.", "For food on a business trip we pay {v} a day."],
     ["What is the meal allowance?", "How much can I spend on meals?", "What is paid for food on a trip?", "What do I get for meals?", "How much is paid for meals?", "How high is the meal allowance?", "How much is the daily food money?"]),
    (_money(200, 5000), ["Each person has a training budget of {v}.", "The yearly training budget is {v}.", "We pay up to {v} a year for courses.", "The budget for training is {v} a year.", "Courses are paid up to {v} a year.", "You may use {v} a year for training.", "For learning, {v} is available per person."],
     ["How much is the training budget?", "What can I spend on courses?", "How much money is there for training?", "How large is my training budget?", "How much is paid for courses?", "What is my budget for training?", "What does the company pay for learning?"]),
    (_count(1, 7, "days"), ["A doctor's note is needed after {v} of sickness.", "If you are sick for more than {v}, send a doctor's note.", "Sick notes are required after {v}.", "A sick note is due after {v}.", "Bring a doctor's note after {v} of sickness.", "Doctor's note: after {v}.", "After {v} of illness, bring a certificate."],
     ["When do I need a doctor's note?", "After how many days is a sick note required?", "When must I send a sick note?", "After how long do I need a doctor's note?", "When is a sick note due?", "When do I bring a doctor's note?", "I am ill. When is a certificate needed?"]),
    (_count(2, 9, "months"), ["Probation lasts {v}.", "The probation period is {v}.", "New staff are on probation for {v}.", "Your probation is {v}.", "We have a probation of {v}.", "Probation takes {v}.", "The trial period ends after {v}."],
     ["How long is probation?", "What is the probation period?", "How long are new staff on probation?", "How many months of probation are there?", "How long does my probation last?", "What is my probation?", "When does the trial period end?"]),
    (_count(2, 6, "years"), ["Laptops are replaced every {v}.", "You get a new laptop after {v}.", "The laptop cycle is {v}.", "New laptops come every {v}.", "A laptop is used for {v}.", "Every {v} your laptop is replaced.", "A computer is exchanged after {v}."],
     ["When do I get a new laptop?", "How often are laptops replaced?", "How old must a laptop be before it is replaced?", "When is my laptop replaced?", "How often do laptops get replaced?", "After how long do I get another laptop?", "How long must I keep my computer?"]),
    (_money(100, 5000), ["The referral bonus is {v}.", "For a successful referral we pay {v}.", "Staff who refer a new colleague get {v}.", "Whoever recommends a hire receives {v}."],
     ["How much is the referral bonus?", "What do I get for a referral?", "Is there a bonus for referring someone?", "What is paid when I recommend a hire?"]),
    (_count(1, 10, "days"), ["Up to {v} of leave can be carried over.", "You may carry over {v} into the next year.", "At most {v} move to the next year.", "Unused leave is kept up to {v}."],
     ["How much leave can I carry over?", "How many days can be carried over?", "Can I move leave to the next year?", "What happens to my unused leave?"]),
    (_count(2, 10, "days"), ["Bereavement leave is {v}.", "After a death in the family you get {v} off.", "For a family death, {v} are paid.", "Staff who lose a relative may take {v}."],
     ["How long is bereavement leave?", "What leave is there after a death in the family?", "How much bereavement leave do we have?", "A relative died. How long may I stay away?"]),
    (lambda w: f"the {w.rng.randint(4, 20)}th", ["Salaries are paid on {v} of the month.", "Pay day is {v}.", "We pay wages on {v} of each month.", "Wages come on {v}.", "Pay comes on {v} of the month.", "Payday: {v}.", "The salary arrives on {v}."],
     ["When is pay day?", "When are salaries paid?", "On which day do I get my pay?", "What day is pay day?", "When do we get paid?", "When are wages paid?", "When does my salary arrive?"]),
    (_count(1, 20, "percent"), ["The yearly bonus is up to {v} of salary.", "A bonus of {v} is possible.", "Staff can earn a bonus of {v}.", "Your bonus can reach {v}.", "The bonus is {v}.", "We pay a bonus of up to {v}.", "The target bonus is {v}."],
     ["How big is the bonus?", "What bonus can I get?", "What is the yearly bonus?", "What is my bonus?", "How high is the bonus?", "How much bonus do I get?", "How much bonus is possible?"]),
    (_count(5, 60, "days"), ["Working from abroad is allowed for {v} a year.", "You may work abroad for {v}.", "Up to {v} a year can be worked from another country.", "Work from another country is limited to {v}."],
     ["How long can I work from abroad?", "How many days abroad are allowed?", "Can I work from another country?", "What is the limit for working abroad?"]),
    (_money(50, 600), ["On-call duty is paid with {v} a week.", "The on-call rate is {v}.", "Each on-call week brings {v}.", "We pay {v} for a week on call.", "On-call pay is {v}.", "On call: {v} a week.", "For being on call you receive {v}."],
     ["How much is paid for on-call duty?", "What is the on-call rate?", "What do I get for being on call?", "What is the on-call pay?", "How much do I get for on-call weeks?", "What does on-call duty bring?", "How is on call paid?"]),
    (_count(1, 6, "days"), ["Staff may volunteer {v} a year.", "There are {v} for volunteering.", "Volunteering is paid for {v}.", "Volunteers get {v} off.", "You can spend {v} on volunteering.", "Volunteer time is {v} a year.", "For charity work you have {v}."],
     ["How many days can I volunteer?", "How much time is there for volunteering?", "What is the volunteering rule?", "How long may I volunteer?", "What time do volunteers get?", "Do I get time for volunteering?", "How long may I do charity work?"]),
    (_count(3, 10, "years"), ["A sabbatical is possible after {v}.", "After {v} you can take a sabbatical.", "Sabbaticals are open to staff with {v} of service.", "Long leave can be taken after {v} of work."],
     ["When can I take a sabbatical?", "After how long is a sabbatical possible?", "Who can have a sabbatical?", "When may I take long leave?"]),
    (lambda w: f"{w.rng.randint(8, 10)}:{w.pick(['00', '30'])} to {w.rng.randint(14, 17)}:{w.pick(['00', '30'])}", ["Core hours are {v}.", "Everyone should be reachable from {v}.", "The core time is {v}.", "Please be available from {v}."],
     ["What are the core hours?", "When do I have to be reachable?", "What is the core time?", "At what times must I be available?"]),
    (lambda w: w.person(), ["Questions go to {v} in HR.", "Contact {v} for questions.", "{v} answers all questions about this.", "Ask {v} if you have questions.", "{v} is the contact for this.", "Your contact is {v}.", "If anything is unclear, write to {v}."],
     ["Who can I ask?", "Who is the contact?", "Who answers questions?", "Who is my contact?", "Whom do I ask?", "Who can help with questions?", "To whom do I write if something is unclear?"]),
    (lambda w: w.person(), ["Leave must be approved by {v}.", "{v} approves leave.", "Requests for leave go to {v}.", "{v} decides about leave.", "All leave is approved by {v}.", "Send leave requests to {v}.", "Your leave has to be signed by {v}."],
     ["Who approves my leave?", "Who has to approve leave?", "Where do I send a leave request?", "Who decides about my leave?", "Who gets my leave request?", "Whom do I ask for leave?", "Who signs my leave?"]),
    (_money(10, 150), ["The gym allowance is {v} a month.", "We pay {v} a month for sports.", "For a gym membership you get {v}.", "The gym is paid up to {v} a month.", "Gym money is {v} a month.", "You get {v} for the gym.", "Sport is supported with {v}."],
     ["How much is the gym allowance?", "What is paid for sports?", "Does the company pay for a gym?", "What do we get for the gym?", "How much is paid for the gym?", "What is the gym allowance?", "How much support is there for sport?"]),
    (_money(20, 200), ["Bus and train tickets are paid up to {v} a month.", "The travel subsidy is {v} a month.", "Commuters get {v} a month.", "For the way to work we add {v} a month."],
     ["What is the travel subsidy?", "How much is paid for bus and train?", "What do commuters get?", "Is my way to work paid?"]),
    (_count(60, 365, "days"), ["Passwords must be changed every {v}.", "Change your password every {v}.", "A password is valid for {v}.", "Passwords last {v}.", "Every {v} a password must change.", "A new password is needed every {v}.", "Passwords expire after {v}."],
     ["How often must I change my password?", "When do I need a new password?", "How long is a password valid?", "How often do passwords change?", "When must passwords be changed?", "How long do passwords last?", "When does my password expire?"]),
    (_count(1, 12, "weeks"), ["Leave should be requested {v} ahead.", "Ask for leave at least {v} before.", "Holiday requests need {v} of warning.", "Requests for time off must come {v} early."],
     ["How early must I ask for leave?", "When should leave be requested?", "How far ahead do I request holiday?", "How soon must I ask for time off?"]),
    (lambda w: f"{w.invented()} Health", ["Health insurance is with {v}.", "Our health plan is run by {v}.", "Staff are insured with {v}.", "The medical cover comes from {v}."],
     ["Who is our health insurer?", "With whom is the health insurance?", "Which company runs the health plan?", "Who pays for the doctor?"]),
    (lambda w: f"room {w.rng.randint(100, 599)}", ["The HR office is in {v}.", "You find HR in {v}.", "HR sits in {v}.", "HR is in {v}.", "Come to {v} for HR.", "The office of HR is {v}.", "The people team works in {v}."],
     ["Where is the HR office?", "Where do I find HR?", "In which room is HR?", "Where is HR?", "What room is HR in?", "Where can I find the HR office?", "Where does the people team sit?"]),
]
# Training only: topics made of whatever words.
LOOSE_KINDS = [
    (["fee", "allowance", "deposit", "budget", "rate", "fine", "subsidy", "price", "bonus", "refund", "grant"], _money(5, 2000),
     ["How much is the {s}?", "How high is the {s}?", "What do I get as {s}?", "Is there a {s}, and how much?"]),
    (["period", "deadline", "break", "course", "contract", "trial", "limit", "shift", "delay", "warranty"], lambda w: _count(2, 90, w.pick(["days", "weeks", "hours", "months", "years"]))(w),
     ["How long is the {s}?", "How long does the {s} last?", "What is the length of the {s}?"]),
    (["room", "desk", "office", "store", "printer", "locker", "entrance"], lambda w: w.pick([f"in room {w.rng.randint(100, 599)}", f"on floor {w.rng.randint(1, 20)}", f"in {w.invented()} Street", f"beside the {w.pick(NOUNS)}"]),
     ["Where is the {s}?", "Where do I find the {s}?", "How do I get to the {s}?"]),
    (["lead", "coordinator", "officer", "contact", "manager", "trainer"], lambda w: w.person(),
     ["Who is the {s}?", "Who works as {s}?", "What is the name of the {s}?"]),
    (["day", "review", "audit", "visit", "training", "party", "inspection"], lambda w: f"on {w.date()}",
     ["When is the {s}?", "On which day is the {s}?", "When does the {s} take place?"]),
]
LOOSE_STATEMENTS = ["The {s} is {v}.", "Our {s} is {v}.", "Please note that the {s} is {v}.", "At present the {s} is {v}.", "The {s} is now {v}.", "As agreed, the {s} is {v}.", "For all staff the {s} is {v}."]
LOOSE_QUESTIONS = ["What is the {s}?", "Tell me about the {s}.", "What does it say about the {s}?", "I have a question about the {s}.", "What about the {s}?"]
LOOSE_DEEDS = """borrow a bike|park in the yard|keep a key|use the shuttle|book a meeting room|bring a guest|rent a car
store old files|take a screen home|order lunch|join the choir|change the shift|use the kitchen|hold a spare badge
return a parcel|test a new phone|swap desks|learn a language|visit the archive|bring a dog|charge a car|print photos
lend a camera|use the studio|sleep in the guest flat|reserve a table|keep lost things|run a stall|water the plants
wear the old uniform|cancel a booking|join a course|see the nurse|claim the fare|use the sauna|book the boat""".replace(
    "\n", "|"
).split("|")
LOOSE_DEED_STATEMENTS = ["Staff can {d} for {v}.", "You may {d} for {v}.", "Everyone may {d} up to {v}.", "To {d}, plan {v}.", "Whoever wants to {d} needs {v}.", "It takes {v} until you can {d}.", "You can {d} after {v}."]
LOOSE_DEED_QUESTIONS = ["How long can I {d}?", "Can I {d}?", "May I {d}, and how long?", "What is the rule to {d}?", "I want to {d}. What applies?", "What do I need to {d}?", "When can I {d}?", "Who can {d}?"]
HR_LABELS = ["Policy", "Company policy", "From the handbook", "HR policy", "Text", "Handbook"]
HR_LEADS = ["", "", "", "Answer from the policy. ", "Use the policy below. ", "According to the policy: ", "Please look at the handbook text: "]
UNKNOWN = "The policy does not say."


def fixed_topic(w, index):
    """(sentence, value, question) of a known topic."""
    draw, statements, questions = TOPICS[index]
    value = draw(w)
    sentence = w.word(statements, v=value)
    return sentence[0].upper() + sentence[1:], value, w.word(questions)


def loose_topic(w):
    """The same for a topic made of whatever words: only what question and sentence share can find it."""
    if w.chance(0.4):
        deed = w.pick(LOOSE_DEEDS) if w.chance(0.8) else f"{w.pick(VERBS)} the {w.pick(NOUNS)}"
        value = w.pick([_count(1, 90, w.pick(["days", "weeks", "hours", "months"])), _money(5, 900)])(w)
        sentence = w.pick(LOOSE_DEED_STATEMENTS).format(d=deed, v=value)
        question = w.pick(LOOSE_DEED_QUESTIONS).format(d=deed)
    else:
        kind = w.pick(LOOSE_KINDS)
        subject = f"{w.pick([w.pick(ADJECTIVES), w.pick(NOUNS), w.team(), w.invented().lower()])} {w.pick(kind[0])}"
        value = kind[1](w)
        sentence = w.pick(LOOSE_STATEMENTS).format(s=subject, v=value)
        question = w.pick(kind[2] + LOOSE_QUESTIONS).format(s=subject)
    return sentence[0].upper() + sentence[1:], value, question


def hr_topics(w, count):
    """`count` different topics; training mixes in loose ones and remarks."""
    found = [fixed_topic(w, index) for index in w.rng.sample(range(len(TOPICS)), count)]
    if not w.held_out and w.chance(0.6):
        found = [loose_topic(w) if w.chance(0.7) else topic for topic in found]
    return found


def hr_answer(w):
    topics = hr_topics(w, w.rng.randint(2, 5))
    asked = w.rng.randrange(len(topics))
    is_missing = w.chance(0.12)
    sentences = [sentence for index, (sentence, _, _) in enumerate(topics) if not (is_missing and index == asked)]
    sentence, value, question = topics[asked]
    policy = w.pick([" ", "\n", " "]).join(sentences)
    policy = w.pick([f"{w.pick(HR_LABELS)}: {policy}", f"{w.pick(HR_LABELS)}:\n{policy}", policy])
    reply = UNKNOWN if is_missing else sentence
    check = {"value": UNKNOWN if is_missing else value, "first": sentences[0]}
    if not w.held_out and w.chance(0.7):
        rest = [topic for index, topic in enumerate(topics) if index != asked]
        w.rng.shuffle(rest)
        check["more"] = [(question, sentence) for sentence, _, question in rest[: w.rng.randint(1, 3)]]
    return w.ask(w.pick(HR_LEADS) + question, policy), reply, check


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
    "Sum up this chat.",
    "Short summary, please.",
    "What did they agree on?",
    "What is this thread about?",
    "Summarise the messages.",
    "Please summarise.",
    "Can you give me the gist of this chat?",
    "In short, what happened?",
    "Bring me up to date on these messages.",
]
CHATTER = ["Ok.", "Thanks!", "Thank you.", "Sounds good.", "Great.", "Sure.", "Got it.", "Perfect.", "Yes.", "Nice.", "Good to know.", "Hello all.", "Good morning.", "Understood."]


def outage(w, a, b):
    system, cause, fix, time = w.slot(SYSTEMS), w.slot(CAUSES), w.slot(FIXES), w.clock()
    lines = [
        (a, w.word(["The {s} is down.", "Is the {s} broken for anyone else?", "I cannot reach the {s}.", "The {s} does not work.", "We have a problem with the {s}.", "The {s} stopped working.", "Anyone else with trouble at the {s}?", "Help, the {s} fails.", "The {s} is slow and then breaks.", "Users complain about the {s}.", "Something is wrong with the {s}."], s=system)),
        (b, w.word(["I found {c}.", "It is {c}.", "The reason is {c}.", "Looks like {c}.", "This was caused by {c}.", "It was {c}.", "The cause is {c}.", "There is {c}.", "I see {c} in the logs.", "That must be {c}.", "My guess was right, it is {c}."], c=cause)),
        (b, w.word(["I will {f} by {t}.", "I am going to {f} before {t}.", "Give me until {t}, I will {f}.", "I can {f} by {t}.", "I will {f}, ready by {t}.", "By {t} I will {f}.", "Let me {f}, done by {t}.", "I have to {f}, that takes until {t}.", "My plan: {f} by {t}."], f=fix, t=time)),
    ]
    return lines, f"{a} reported a problem with the {system}. {b} found {cause} and will {fix} by {time}."


def moved_meeting(w, a, b):
    project, old, new = w.project(), w.date(), w.date()
    reason = w.pick(["I am travelling", "I have a doctor's visit", "the room is taken", "the client is away", "I have a clash", "the slides are late"])
    lines = [
        (a, w.word(["Can we move the {p} meeting on {o}? {r}.", "I cannot make the {p} meeting on {o}, {r}.", "About the {p} meeting on {o}: {r}.", "The {p} meeting on {o} is a problem: {r}.", "Could the {p} meeting move from {o}? {r}.", "I have to miss the {p} meeting on {o} because {r}.", "{r}, can we find another day than {o} for the {p} meeting?", "Sorry, {r}, so {o} is bad for the {p} meeting."], p=project, o=old, r=reason)),
        (b, w.word(["How about {n}?", "Does {n} work?", "Would {n} be better?", "{n} is free for me.", "What about {n}?", "Let us say {n}.", "Then {n}?", "I could do {n}.", "Maybe {n}?", "Shall we take {n}?"], n=new)),
        (a, w.word(["That works.", "Yes, that is fine.", "Good for me.", "Perfect, see you then.", "Yes.", "Great, let us do that.", "Ok for me.", "Works for me, thanks.", "Fine with me."])),
    ]
    return lines, f"{a} and {b} moved the {project} meeting from {old} to {new}."


def vendor_choice(w, a, b):
    one, two, good = w.vendor(), w.vendor(), w.slot(GOODS)
    first, second = dollars(w.money()), dollars(w.money())
    lines = [
        (a, w.word(["We have two offers for {g}: {x} for {p} and {y} for {q}.", "For {g}, {x} wants {p} and {y} wants {q}.", "Offers for {g}: {x} {p}, {y} {q}.", "Two offers for {g} came in: {x} at {p}, {y} at {q}.", "{x} offers {g} for {p}, {y} for {q}.", "We can get {g} from {x} for {p} or from {y} for {q}.", "I got prices for {g}. {x} asks {p}, {y} asks {q}."], g=good, x=one, p=first, y=two, q=second)),
        (b, w.word(["Let us take {x}.", "I would go with {x}.", "{x} looks better to me.", "Then we choose {x}.", "Take {x}.", "Please choose {x}.", "{x}, I think.", "I prefer {x}.", "{x} is the better one.", "My vote is for {x}."], x=(chosen := w.pick([one, two])))),
        (a, w.word(["Ok, I will order it.", "Agreed, I will place the order.", "Fine, I will tell them.", "Good, I will send the order.", "Good choice.", "Ok, ordering now.", "Done.", "Agreed."])),
    ]
    return lines, f"{a} had two offers for {good}, from {one} and {two}. They chose {chosen}."


def lunch(w, a, b):
    dish, place, time = w.slot(DISHES), w.invented(), w.clock()
    lines = [
        (a, w.word(["Who wants lunch?", "Lunch today?", "Anyone hungry?", "Shall we eat together?", "Lunch?", "Time for lunch?", "I am hungry, who else?", "Who comes to lunch?", "Is anyone up for lunch?"])),
        (b, w.word(["Let us get {d} at {p}.", "How about {d} from {p}?", "I would like {d} at {p}.", "{p} has good {d}.", "{d} at {p}?", "We could have {d} at {p}.", "What about {p} for {d}?", "I know {p}, they have {d}.", "Let us try the {d} at {p}.", "I vote for {d} at {p}."], d=dish, p=place)),
        (a, w.word(["Ok, {t} at the door.", "Fine, we meet at {t}.", "Good, let us go at {t}.", "See you at {t}.", "At {t} then.", "Good, {t}.", "I am there at {t}.", "Let us say {t}.", "Deal, {t} then."], t=time)),
    ]
    return lines, f"{a} and {b} will have {dish} at {place} at {time}."


def document_review(w, a, b):
    thing, date, part = w.thing(), w.date(), w.pick(["the intro", "the numbers", "the last page", "the title", "the dates", "the prices", "the names", "the summary"])
    lines = [
        (a, w.word(["Can someone review the {x}?", "I need a review of the {x}.", "The {x} is ready for review.", "Please have a look at the {x}.", "Who can review the {x}?", "Here is the {x}, comments please.", "I finished the {x}, please check it.", "Please review the {x}.", "Could anyone read the {x}?"], x=thing)),
        (b, w.word(["I read it, {p} must change.", "Looks good, but fix {p}.", "Please correct {p}.", "I would change {p}.", "Please change {p}.", "Good work, only {p} should change.", "I do not like {p}.", "{p} needs work.", "Fine except for {p}."], p=part)),
        (a, w.word(["I will do that by {d}.", "Ok, done by {d}.", "You will have it by {d}.", "I will change it by {d}.", "I can change that by {d}.", "Sure, by {d}.", "New version by {d}.", "I will send it by {d}.", "Will be ready by {d}."], d=date)),
    ]
    return lines, f"{a} asked for a review of the {thing}. {b} wants {part} changed, and {a} will do it by {date}."


def handover(w, a, b):
    deed, start, end = w.deed(), w.date(), w.date()
    lines = [
        (a, w.word(["I am away from {s} to {e}. Can someone {d}?", "I will be on leave from {s} to {e}. Who can {d}?", "From {s} to {e} I am out. Someone needs to {d}.", "I am off from {s} to {e}. Please {d} while I am gone.", "Who can {d} from {s} to {e}? I am away.", "From {s} to {e} I am on holiday, can somebody {d}?", "I will be out from {s} to {e} and need someone to {d}.", "My holiday is from {s} to {e}, so please {d} for me."], s=start, e=end, d=deed)),
        (b, w.word(["I can do it.", "I will take that.", "Leave it to me.", "I will do it.", "I will.", "Count on me.", "No problem, I do it.", "Mine.", "Happy to help with that."])),
    ]
    return lines, f"{a} is away from {start} to {end}. {b} will {deed}."


def release(w, a, b):
    project, date, cause = w.project(), w.date(), w.slot(CAUSES)
    lines = [
        (a, w.word(["Can we ship {p} today?", "Is {p} ready to ship?", "Are we go for {p}?", "Do we release {p} now?", "When do we ship {p}?", "Is {p} done?", "Can {p} go out?", "Status of {p}?", "What about the {p} release?"], p=project)),
        (b, w.word(["No, there is still {c}.", "Not yet, we have {c}.", "We are blocked by {c}.", "I would wait because of {c}.", "We still have {c}.", "There is a problem: {c}.", "Not possible, {c}.", "No, {c} stops us.", "Sorry, I found {c}."], c=cause)),
        (a, w.word(["Then we ship on {d}.", "Ok, new date is {d}.", "Let us move it to {d}.", "Then {d}.", "Then let us ship on {d}.", "Ok, {d} then.", "New plan: {d}.", "We try again on {d}.", "We go live on {d} instead."], d=date)),
    ]
    return lines, f"The release of {project} is moved to {date} because of {cause}."


def hiring(w, a, b):
    name, team, date = w.person(), w.team(), w.date()
    lines = [
        (a, w.word(["How was the interview with {n} for {t}?", "What do you think of {n} for the {t} team?", "Did you meet {n}, the {t} candidate?", "You talked to {n} for {t}, how was it?", "{n} applied to {t}. What do you say?", "Should {n} join the {t} team?", "How did {n} do for the {t} job?", "Any thoughts on {n} for {t}?"], n=name, t=team)),
        (b, w.word(["Very good, I would hire.", "Strong, let us make an offer.", "I liked the talk, please hire.", "Great answers, I say yes.", "Yes, hire.", "I would take the offer out today.", "Good, I am for it.", "Really good, yes.", "Excellent, we should hire."]) if (yes := w.chance(0.5)) else w.word(["Not a fit.", "I would say no.", "Too little experience.", "I was not convinced.", "No, sorry.", "I would not hire.", "Not good enough.", "I am against it.", "Sadly not what we need."])),
        (a, w.word(["I will let them know by {d}.", "Ok, I will write by {d}.", "I will call by {d}.", "Then I answer by {d}.", "I will tell them by {d}.", "Good, I will answer by {d}.", "They get the answer by {d}.", "I write to them by {d}.", "They hear from me by {d}."], d=date)),
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
    messages = []
    for question, reply in [(prompt, answer), *check.get("more", [])]:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    if w.chance(0.35):
        messages.insert(0, {"role": "system", "content": w.pick(SYSTEM_LINES)})
    return {"task": task, "messages": messages, "answer": answer, "check": check}
