"""What fills the slots of the workplace templates: people, things, amounts, dates.

Every pool is split by a hash of its words: one in eight is held out, and no training example ever
sees it. Made-up words (names, vendors, projects) come from syllables, so that the model has to copy
from its context and cannot learn them by heart.
"""

import math
import zlib

FIRST_NAMES = """Aisha Alan Alice Amara Amir Ana Andre Anika Anna Antonio Asha Astrid Ben Bianca Boris Bruno
Camila Carla Carlos Cecilia Chen Chloe Clara Daniel Daria David Deepa Diego Dina Dmitri Elena Eli Elif Emil
Emma Erik Esther Eva Fatima Felix Fiona Florian Frank Gabriel George Gina Grace Hana Hannah Harald Hassan Helen
Henry Hugo Ian Ibrahim Ida Igor Ines Ingrid Irene Isaac Ivan Jack Jana Jasmine Javier Jean Jenna Joan Joao Johan
Jonas Jose Julia Kai Karim Karin Kate Kenji Kira Klaus Kofi Lars Laura Layla Lea Leo Lena Liam Lin Linda Lucia
Luis Luka Magda Malik Mara Marco Maria Marta Martin Matteo Maya Mei Mia Miguel Mila Mina Mohammed Monica Nadia
Naomi Nina Noah Nora Oksana Olga Oliver Omar Oscar Pablo Paul Pedro Petra Philip Priya Rachel Rafael Raj Rania
Ravi Rebecca Rita Robert Rosa Ruth Ryan Sam Sandra Sara Sergei Simon Sofia Sonia Stefan Sven Tara Teresa Theo
Thomas Tim Tom Ursula Uma Vera Victor Vikram Walter Wei Wendy Xavier Yara Yuki Yusuf Zara Zoe""".split()
ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh st t tr v w z".split()
VOWELS = "a e i o u ai ea ee ia io oo ou".split()
CODAS = ["", "", "", "n", "r", "l", "s", "m", "x", "nd", "rt", "ck"]

TEAMS = """finance marketing sales support legal design platform security research operations procurement
logistics payroll recruiting engineering training quality data facilities communications partnerships
compliance analytics mobile web infrastructure warehouse product editorial field""".split()
OBJECTS = """budget report|sales forecast|press release|onboarding guide|customer survey|release notes|test plan
travel policy|price list|staff rota|risk register|project plan|annual review|security audit|training schedule
vendor contract|invoice template|office lease|product roadmap|user manual|landing page|cost estimate|design draft
data export|hiring plan|incident report|quarterly slides|meeting agenda|payment terms|brand guide|mailing list
interview questions|backup script|database migration|login page|support macro|partner agreement|delivery schedule
safety checklist|newsletter|demo video|error log|access list|stock count|service contract|feedback form
launch checklist|holiday calendar|tax form|insurance quote|floor plan|inventory sheet|job posting|style guide
expense sheet|status page|search index|privacy notice|handover document|seating plan|welcome email|case study
conference booth|booking form|warranty claim|shipping label|translation file|payment gateway|archive folder""".replace(
    "\n", "|"
).split("|")
VERBS = """update|send out|review|finish|draft|prepare|check|rewrite|publish|share|print|test|order|fix|approve|collect
present|translate|clean up|proofread|schedule|archive|compare|measure|sign|cancel|renew|revise|correct|upload|move
close|rename|summarise|circulate""".replace("\n", "|").split("|")
GOODS = """a standing desk|two monitors|a laptop|a conference ticket|an online course|a software licence|office chairs
a headset|a docking station|a team dinner|a train ticket|a flight to Berlin|hotel nights|a projector|a whiteboard
printed posters|a camera|a microphone|cloud storage|a test phone|a cable set|safety shoes|a coffee machine|a keyboard
a book order|a workshop room|a translation service|a stock photo plan|a parking permit|a repair of the heater
new badges|a label printer|a storage cabinet|a router|a backup drive|a survey tool|catering for the open day
a first aid kit|a desk lamp|a language class""".replace("\n", "|").split("|")
SYSTEMS = """billing service|login page|search index|mail server|payroll export|warehouse scanner|staging cluster
customer portal|booking system|wiki|door badge reader|phone line|backup job|report dashboard|chat bot|file share
print server|payment page|video room|time tracker|shop front|ticket queue|map service|news feed|data pipeline
mobile app|test lab|invoice run|calendar sync|image store|order form|signup form""".replace("\n", "|").split("|")
CAUSES = """an expired certificate|a full disk|a wrong password|a broken cable|a missing index|a typo in the config
a slow query|an old driver|a memory leak|a failed update|a bad deploy|a locked table|a network loop|a wrong time zone
a missing permission|a blocked port|a stuck worker|a stale cache|a lost connection|an empty template|a duplicate key
a power cut|a renamed folder|a changed address|an outdated library|a missing file|a dead battery|a rate limit
""".strip().replace("\n", "|").split("|")
FIXES = """restart the service|roll back the release|renew the certificate|clear the cache|free some space
replace the cable|reset the password|add the index|correct the config|install the old version|call the provider
switch to the backup|raise the limit|unlock the table|move the job|patch the library|open the port|restore the file
rebuild the image|disable the plugin|extend the disk|rotate the keys|drain the queue|swap the battery""".replace(
    "\n", "|"
).split("|")
DISHES = """pizza|noodles|salad|burgers|sushi|falafel|curry|sandwiches|tacos|soup|dumplings|pasta|burritos|kebab
ramen|pancakes|bagels|paella|lasagne|stew""".replace("\n", "|").split("|")
# Only for training, so that it cannot learn all things by heart.
ADJECTIVES = """annual monthly weekly new old draft final internal external regional printed digital shared spare red
blue green yellow early late short long open closed joint local foreign public private minor major first second
third main extra lost missing signed quiet heavy light urgent broken clean basic modern central northern""".split()
NOUNS = """report guide list plan form schedule poster cupboard printer ticket banner catalogue survey ledger manual map
notice sample script server sketch table tablet tender tool folder letter lamp camera cable calendar contract desk
door dossier drawing engine event exhibit file filter garden gate handbook heater invoice key kiosk label licence
log machine memo menu mirror monitor newsletter note order outline package panel parcel permit photo policy
portal prototype quiz receipt recipe register roof room screen shelf sign slide speech stamp story summary switch
template terminal timer truck tutorial video wall website window workshop""".split()
MORE_VERBS = """write|read|buy|sell|deliver|install|remove|repair|paint|count|sort|pack|return|design|build|plan|record|label
store|copy|scan|mail|announce|finalise|improve|shorten|extend|replace|open|lock|inspect|estimate|discuss|hand over""".replace(
    "\n", "|"
).split("|")
SURNAMES = "son man berg stein ski ova ini ez ton ley er feld sen dottir escu opoulos".split()
MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def is_held_out(text):
    return zlib.crc32(text.encode("utf-8")) % 8 == 0


class Filler:
    """Draws slot values with `rng`; only held-out ones, or only training ones."""

    def __init__(self, rng, held_out=False):
        self.rng, self.held_out = rng, held_out

    def admits(self, text):
        return is_held_out(text) == self.held_out

    def pick(self, pool):
        """Any element; for wording and other things that are not split."""
        return pool[self.rng.randrange(len(pool))]

    def slot(self, pool):
        """An element from this side of the split; a small pool may have nothing held out."""
        is_whole = self.held_out and not any(map(is_held_out, pool))
        return self.pick(pool) if is_whole else self.until(lambda: self.pick(pool))

    def until(self, draw):
        while True:
            value = draw()
            if self.admits(value):
                return value

    def chance(self, probability):
        return self.rng.random() < probability

    def _syllables(self, count):
        parts = [self.pick(ONSETS) + self.pick(VOWELS) for _ in range(count)]
        return "".join(parts) + self.pick(CODAS)

    def invented(self):
        return self.until(lambda: self._word().capitalize())

    def _word(self):
        """Training also sees words of other shapes, so that it copies letters and not syllables."""
        if self.held_out or self.chance(0.7):
            return self._syllables(self.rng.randint(1, 3))
        return "".join(self.pick("aeioubcdfghjklmnprstvwyz") for _ in range(self.rng.randint(2, 7)))

    def person(self):
        name = self.slot(FIRST_NAMES) if self.chance(0.6) else self.invented()
        if not self.held_out and self.chance(0.08):
            return self.until(lambda: f"{name} {self._syllables(self.rng.randint(1, 2)).capitalize()}{self.pick(SURNAMES)}")
        return name

    def people(self, count):
        names = []
        while len(names) < count:
            name = self.person()
            if name not in names:
                names.append(name)
        return names

    def project(self):
        return self.invented()

    def vendor(self):
        return self.invented() + self.pick(["", "", " Ltd", " Inc", " Group", " Supplies", " Labs"])

    def team(self):
        return self.pick(TEAMS)

    def thing(self):
        return self.loose_thing() if not self.held_out and self.chance(0.4) else self.slot(OBJECTS)

    def loose_thing(self):
        """Two words that need not belong together."""
        first = self.invented().lower() if self.chance(0.15) else self.pick(self.pick([ADJECTIVES, NOUNS]))
        return self.until(lambda: f"{first} {self.pick(NOUNS)}")

    def deed(self):
        """What somebody will do: 'update the price list for Zoorin'."""

        def draw():
            verb, thing = self.pick(VERBS), self.pick(OBJECTS)
            if not self.held_out:
                verb = self.pick(MORE_VERBS) if self.chance(0.3) else verb
                thing = self.loose_thing() if self.chance(0.4) else thing
            deed = f"{verb} the {thing}"
            if self.chance(0.3):
                deed += self.pick([f" for {self.project()}", f" for the {self.team()} team", f" with {self.person()}"])
            return deed

        return self.until(draw)

    def number(self, low, high):
        """Numbers are split too, when there are enough of them."""
        if high - low < 30:
            return self.rng.randint(low, high)
        return int(self.until(lambda: str(self.rng.randint(low, high))))

    def money(self, low=20, high=20000):
        """Spread over the orders of magnitude, mostly round."""
        value = math.exp(self.rng.uniform(math.log(low), math.log(high)))
        step = 5 if value < 1000 else 50 if value < 5000 else 100
        return max(step, int(value / step) * step) if self.chance(0.7) else int(value)

    def date(self):
        return self.pick(
            [
                self.pick(WEEKDAYS),
                self.pick(WEEKDAYS),
                f"{self.rng.randint(1, 28)} {self.pick(MONTHS)}",
                f"{self.pick(MONTHS)} {self.rng.randint(1, 28)}",
                f"next {self.pick(WEEKDAYS)}",
                f"the end of {self.pick(['the week', 'the month', *MONTHS])}",
            ]
        )

    def clock(self):
        return f"{self.rng.randint(7, 18)}:{self.pick(['00', '15', '30', '45'])}"


def dollars(value):
    return f"${value:,}"
