"""The set written together with the checks: right translations, and the same with one seeded error.

It guards against steps back and says nothing of new texts; `benchmarks/contrast_set` does, written by another
hand without sight of the checks.

All sentences are written for this project. `errors()` gives pairs that have to fail, `negatives()` pairs
that have to pass; both draw from fixed seeds, so the set is the same everywhere (`tests/integrity/
test_contrast.py` holds its hash). Idea: ContraTICO (arXiv 2504.11582).
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from bimedix.integrity import Glossary, Term
from bimedix.records import Item, MultipleChoice, Origin, Passage

PER_CLASS = 54
SCRIPTS = ("0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹")
"""ASCII, Arabic-Indic and Persian digits: each class holds all three in turn."""

DRUGS = (
    ("warfarin", "وارفارين"), ("metformin", "ميتفورمين"), ("amoxicillin", "أموكسيسيلين"),
    ("ibuprofen", "إيبوبروفين"), ("omeprazole", "أوميبرازول"), ("digoxin", "ديجوكسين"),
    ("furosemide", "فوروسيميد"), ("prednisolone", "بريدنيزولون"), ("heparin", "هيبارين"),
    ("morphine", "مورفين"), ("insulin", "أنسولين"), ("gentamicin", "جنتاميسين"),
)  # fmt: skip
BRANDS = {"ibuprofen": "بروفين", "omeprazole": "لوسك", "furosemide": "لازيكس", "warfarin": "كومادين"}
GLOSSARY = Glossary(
    Term(name, (arabic, *((BRANDS[name],) if name in BRANDS else ())), "drug") for name, arabic in DRUGS
)
UNITS = (("mg", "ملغ", "mg", "ملليغرام"), ("mcg", "مكغ", "mcg", "ميكروغرام"), ("mL", "مل", "mL", "ملليلتر"))
"""English, Arabic short, Latin symbol in Arabic text, Arabic long."""
FREQUENCIES = (
    ("once daily", "مرة واحدة يوميًا", "q24h"), ("twice daily", "مرتين يوميًا", "bid"),
    ("three times a day", "ثلاث مرات في اليوم", "tid"), ("every 6 hours", "كل 6 ساعات", "q6h"),
    ("every 4 hours", "كل 4 ساعات", "q4h"), ("once a week", "مرة واحدة في الأسبوع", "q7d"),
)  # fmt: skip
ROUTES = (
    ("orally", "عن طريق الفم"), ("intravenously", "عن طريق الوريد"), ("intramuscularly", "في العضل"),
    ("subcutaneously", "تحت الجلد"), ("under the tongue", "تحت اللسان"), ("rectally", "عن طريق المستقيم"),
)  # fmt: skip
NUMBER_WORDS = {3: "ثلاثة", 4: "أربعة", 5: "خمسة", 6: "ستة", 7: "سبعة", 8: "ثمانية", 9: "تسعة", 10: "عشرة"}
DISEASES = (
    ("heart failure", "قصور القلب"), ("asthma", "الربو"), ("malaria", "الملاريا"), ("gout", "النقرس"),
    ("epilepsy", "الصرع"), ("anaemia", "فقر الدم"), ("migraine", "الشقيقة"), ("scabies", "الجرب"),
)  # fmt: skip
ORGANS = (
    ("knee", "الركبة"), ("eye", "العين"), ("lung", "الرئة"), ("kidney", "الكلية"), ("shoulder", "الكتف"),
    ("hand", "اليد"), ("ear", "الأذن"), ("hip", "الورك"),
)  # fmt: skip


class Case(NamedTuple):
    """One pair of the set."""

    name: str
    """Class of error, or kind of negative."""
    source: Item
    target: Item
    checks: frozenset[str]
    """Checks of which one has to give an error; empty for negatives."""


Pairs = tuple[str, str]
Made = tuple[str, str, str]
"""Source, right translation, damaged translation."""


def passage(text: str, language: str) -> Passage:
    return Passage("contrast", language, Origin("contrast"), text)


def question(
    language: str, stem: str, options: tuple[str, ...], answer: int, why: str = ""
) -> MultipleChoice:
    return MultipleChoice("contrast", language, Origin("contrast"), stem, options, (answer,), rationale=why)


def pick(random: Random) -> dict[str, object]:
    """Draw the slots of one dosing sentence."""
    (drug, drug_ar), (other, other_ar) = random.sample(DRUGS, 2)
    unit = random.choice(UNITS)
    frequency, second = random.sample(FREQUENCIES, 2)
    route, other_route = random.sample(ROUTES, 2)
    return {
        "drug": drug, "drug_ar": drug_ar, "other": other, "other_ar": other_ar,
        "dose": random.choice((15, 20, 25, 30, 40, 60, 75, 80, 120, 150, 250, 500)),
        "dose2": random.choice((12, 18, 35, 45, 90, 180, 300)),
        "unit": unit[0], "unit_ar": unit[1], "unit_latin": unit[2], "unit_long": unit[3],
        "freq": frequency[0], "freq_ar": frequency[1], "freq_short": frequency[2],
        "freq2": second[0], "freq2_ar": second[1],
        "route": route[0], "route_ar": route[1], "route2_ar": other_route[1],
        "days": random.randint(3, 10),
    }  # fmt: skip


DOSE_EN = "Give {drug} {dose} {unit} {route} {freq} for {days} days. Do not repeat the course without advice."
DOSE_AR = "يُعطى {drug_ar} {dose} {unit_ar} {route_ar} {freq_ar} لمدة {days} أيام. لا تكرر الدورة دون استشارة."


def dosing(random: Random, **changed: str) -> Made:
    """Make a dosing sentence; `changed` fills slots of the damaged translation only."""
    slots = pick(random)
    damaged = {key: value.format(**slots) for key, value in changed.items()}
    return DOSE_EN.format(**slots), DOSE_AR.format(**slots), DOSE_AR.format(**(slots | damaged))


def number_digit(random: Random) -> Made:
    source, right, _ = dosing(random)
    dose = next(word for word in right.split() if word.isdigit())
    wrong = str(int(dose) + random.choice((1, 2, 3, 4, 6, 7)))
    return source, right, right.replace(f" {dose} ", f" {wrong} ", 1)


def number_tenfold(random: Random) -> Made:
    return dosing(random, dose="{dose}0")


def number_dropped(random: Random) -> Made:
    return dosing(random, dose="", unit_ar="")


def decimal_lost(random: Random) -> Made:
    value = random.choice(("2.5", "0.5", "12.5", "7.5", "1.25", "0.75", "3.6", "4.8"))
    lab, lab_ar = random.choice(
        (("lactate", "اللاكتات"), ("potassium", "البوتاسيوم"), ("calcium", "الكالسيوم"))
    )
    source = f"The {lab} level was {value} mmol/L on admission and was measured again in the evening."
    right = f"كان مستوى {lab_ar} {value} ملي مول/لتر عند الدخول وقيس مجددًا في المساء."
    return source, right, right.replace(value, value.replace(".", ""))


def range_bound(random: Random) -> Made:
    low = random.randint(2, 9)
    high, wrong = low + random.randint(2, 6), low + random.randint(20, 40)
    sign = random.choice(("–", "-", " to "))
    source = (
        f"The usual maintenance dose is {low}{sign}{high} mg per day in patients with normal renal function."
    )
    right = f"جرعة المداومة المعتادة {low}-{high} ملغ في اليوم لدى المرضى ذوي الوظيفة الكلوية الطبيعية."
    return source, right, right.replace(f"-{high} ", f"-{wrong} ")


def percent(random: Random) -> Made:
    value = random.randint(12, 88)
    drug, drug_ar = random.choice(DRUGS)
    source = f"In this trial {drug} lowered the risk of death by {value}% compared with placebo."
    right = f"في هذه التجربة خفض {drug_ar} خطر الوفاة بنسبة {value}٪ مقارنة بالدواء الوهمي."
    return source, right, right.replace(str(value), str(value + random.choice((1, 5, 10))))


def power(random: Random) -> Made:
    count = random.randint(11, 95)
    source = f"The platelet count is {count} × 10⁹/L and the white cell count is 7 × 10⁹/L."
    right = f"عدد الصفيحات {count} × 10⁹/لتر وعدد الكريات البيض 7 × 10⁹/لتر."
    return source, right, right.replace("10⁹", "109")


def number_word(random: Random) -> Made:
    right_days, wrong_days = random.sample(sorted(NUMBER_WORDS), 2)
    drug, drug_ar = random.choice(DRUGS)
    source = f"The patient took {drug} for {right_days} days and then came back to the clinic."
    right = f"تناول المريض {drug_ar} لمدة {NUMBER_WORDS[right_days]} أيام ثم عاد إلى العيادة."
    return source, right, right.replace(NUMBER_WORDS[right_days], NUMBER_WORDS[wrong_days])


def age(random: Random) -> Made:
    years = random.randint(23, 79)
    disease, disease_ar = random.choice(DISEASES)
    source = f"A {years}-year-old man with {disease} comes to the physician because of fatigue."
    right = f"يأتي رجل يبلغ من العمر {years} عامًا ومصاب بـ{disease_ar} إلى الطبيب بسبب التعب."
    wrong = years + random.choice((-9, -4, 3, 11))
    return source, right, right.replace(str(years), str(wrong))


def unit_thousandfold(random: Random) -> Made:
    source, right, _ = dosing(random)
    for unit, wrong in (("ملغ", "مكغ"), ("مكغ", "ملغ"), (" مل ", " لتر ")):
        if unit in right:
            return source, right, right.replace(unit, wrong, 1)
    raise AssertionError(right)


def unit_dimension(random: Random) -> Made:
    source, right, _ = dosing(random)
    for unit, wrong in (("ملغ", "مل"), ("مكغ", "مل"), (" مل ", " ملغ ")):
        if unit in right:
            return source, right, right.replace(unit, wrong, 1)
    raise AssertionError(right)


def unit_dropped(random: Random) -> Made:
    value = random.randint(11, 97)
    lab, lab_ar, unit, unit_ar = random.choice(
        (
            ("haemoglobin", "الهيموغلوبين", "g/L", "غ/لتر"),
            ("creatinine", "الكرياتينين", "µmol/L", "ميكرومول/لتر"),
            ("bilirubin", "البيليروبين", "µmol/L", "ميكرومول/لتر"),
            ("ferritin", "الفيريتين", "ng/mL", "نانوغرام/مل"),
        )
    )
    source = f"Laboratory studies show that the {lab} level is {value} {unit}."
    right = f"تُظهر الفحوص المخبرية أن مستوى {lab_ar} هو {value} {unit_ar}."
    return source, right, right.replace(f" {unit_ar}", "")


def unit_time(random: Random) -> Made:
    count = random.randint(3, 10)
    disease, disease_ar = random.choice(DISEASES)
    one, other = random.sample(
        (("hours", "ساعات"), ("days", "أيام"), ("weeks", "أسابيع"), ("months", "أشهر"), ("years", "سنوات")), 2
    )
    source = f"The signs of {disease} appeared {count} {one[0]} ago and have been getting worse."
    right = f"ظهرت علامات {disease_ar} منذ {count} {one[1]} وهي تزداد سوءًا."
    return source, right, right.replace(one[1], other[1])


def unit_lab(random: Random) -> Made:
    value = random.randint(4, 19)
    source = f"Her fasting glucose is {value} mmol/L and her ketones are being checked now."
    right = f"غلوكوز الدم الصيامي لديها {value} مليمول/لتر ويجري فحص الكيتونات الآن."
    return source, right, right.replace("مليمول/لتر", random.choice(("ملغ/دل", "مكغ/لتر", "مليمكافئ/لتر")))


def frequency_changed(random: Random) -> Made:
    return dosing(random, freq_ar="{freq2_ar}")


def frequency_dropped(random: Random) -> Made:
    return dosing(random, freq_ar="")


def route_changed(random: Random) -> Made:
    return dosing(random, route_ar="{route2_ar}")


def route_dropped(random: Random) -> Made:
    return dosing(random, route_ar="")


TWO_EN = "She takes {drug} {dose} mg {freq} and {other} {dose2} mg {freq2}."
TWO_AR = "تتناول {drug_ar} {dose} ملغ {freq_ar} و{other_ar} {dose2} ملغ {freq2_ar}."


def frequency_swapped(random: Random) -> Made:
    slots = pick(random)
    turned = slots | {"freq_ar": slots["freq2_ar"], "freq2_ar": slots["freq_ar"]}
    return TWO_EN.format(**slots), TWO_AR.format(**slots), TWO_AR.format(**turned)


def drug_swapped(random: Random) -> Made:
    slots = pick(random)
    turned = slots | {
        "drug_ar": slots["other_ar"],
        "other_ar": slots["drug_ar"],
        "freq2_ar": slots["freq_ar"],
    }
    alike = slots | {"freq2": slots["freq"], "freq2_ar": slots["freq_ar"]}
    return TWO_EN.format(**alike), TWO_AR.format(**alike), TWO_AR.format(**turned)


def drug_replaced(random: Random) -> Made:
    return dosing(random, drug_ar="{other_ar}")


DENIALS = (
    ("{Drug} does not cross the placenta.", "لا يعبر {drug_ar} المشيمة.", "يعبر {drug_ar} المشيمة."),
    ("There is no evidence that {drug} helps in {disease}.", "لا دليل على أن {drug_ar} يفيد في {disease_ar}.",
     "هناك دليل على أن {drug_ar} يفيد في {disease_ar}."),
    ("{Drug} should never be given in {disease}.", "لا ينبغي إعطاء {drug_ar} في {disease_ar}.",
     "ينبغي إعطاء {drug_ar} في {disease_ar}."),
    ("The patient with {disease} did not take {drug}.", "لم يتناول مريض {disease_ar} {drug_ar}.",
     "تناول مريض {disease_ar} {drug_ar}."),
    ("{Drug} can be used without monitoring in {disease}.",
     "يمكن استعمال {drug_ar} من دون مراقبة في {disease_ar}.",
     "يمكن استعمال {drug_ar} مع المراقبة في {disease_ar}."),
    ("{Disease} isn't treated with {drug}.", "ليس {drug_ar} علاجًا لحالات {disease_ar}.",
     "يعد {drug_ar} علاجًا لحالات {disease_ar}."),
)  # fmt: skip


def denial(random: Random) -> Made:
    source, right, wrong = random.choice(DENIALS)
    (drug, drug_ar), (disease, disease_ar) = random.choice(DRUGS), random.choice(DISEASES)
    slots = {"drug": drug, "Drug": drug.capitalize(), "drug_ar": drug_ar, "disease": disease}
    slots |= {"Disease": disease.capitalize(), "disease_ar": disease_ar}
    return source.format(**slots), right.format(**slots), wrong.format(**slots)


def negation_added(random: Random) -> Made:
    (drug, drug_ar), (disease, disease_ar) = random.choice(DRUGS), random.choice(DISEASES)
    source, right, wrong = random.choice(
        (
            (f"{drug.capitalize()} is safe in {disease}.", f"{drug_ar} آمن في {disease_ar}.",
             f"{drug_ar} ليس آمنًا في {disease_ar}."),
            (f"The patient with {disease} tolerated {drug} well.", f"تحمل مريض {disease_ar} {drug_ar} جيدًا.",
             f"لم يتحمل مريض {disease_ar} {drug_ar} جيدًا."),
            (f"Start {drug} at once when {disease} is suspected.",
             f"ابدأ {drug_ar} فورًا عند الاشتباه في {disease_ar}.",
             f"لا تبدأ {drug_ar} عند الاشتباه في {disease_ar}."),
        )
    )  # fmt: skip
    return source, right, wrong


def except_dropped(random: Random) -> Made:
    disease, disease_ar = random.choice(DISEASES)
    sign, sign_ar = random.choice((("EXCEPT", "ما عدا"), ("except", "باستثناء"), ("EXCEPT", "إلا")))
    source = f"All of the following drugs are used to treat {disease}, {sign} which one?"
    right = f"تُستعمل جميع الأدوية التالية في علاج {disease_ar} {sign_ar} واحدًا، فما هو؟"
    return source, right, right.replace(f" {sign_ar} واحدًا", "")


def opposite(pairs: tuple[tuple[str, str, str], ...]) -> Callable[[Random], Made]:
    """Make sentences in which one word turns into its opposite."""

    def make(random: Random) -> Made:
        (source, right, wrong), (disease, disease_ar) = random.choice(pairs), random.choice(DISEASES)
        organ, organ_ar = random.choice(ORGANS)
        slots = {"disease": disease, "disease_ar": disease_ar, "organ": organ, "organ_ar": organ_ar}
        return source.format(**slots), right.format(**slots), wrong.format(**slots)

    return make


side = opposite(
    (
        ("The patient with {disease} has pain in the left {organ}.",
         "يعاني مريض {disease_ar} ألمًا في {organ_ar} اليسرى.",
         "يعاني مريض {disease_ar} ألمًا في {organ_ar} اليمنى."),
        ("Examination of a woman with {disease} shows swelling of the right {organ}.",
         "يُظهر فحص امرأة مصابة بـ{disease_ar} تورم {organ_ar} اليمنى.",
         "يُظهر فحص امرأة مصابة بـ{disease_ar} تورم {organ_ar} اليسرى."),
        ("In {disease} the left {organ} was affected first and the right {organ} later.",
         "في {disease_ar} أُصيبت {organ_ar} اليسرى أولًا ثم {organ_ar} اليمنى.",
         "في {disease_ar} أُصيبت {organ_ar} اليمنى أولًا ثم {organ_ar} اليمنى."),
    )
)  # fmt: skip
before_after = opposite(
    (
        ("Take the tablet for {disease} before meals.", "تناول قرص {disease_ar} قبل الوجبات.",
         "تناول قرص {disease_ar} بعد الوجبات."),
        ("Pain of the {organ} began after the treatment of {disease}.",
         "بدأ ألم {organ_ar} بعد علاج {disease_ar}.",
         "بدأ ألم {organ_ar} قبل علاج {disease_ar}."),
    )
)  # fmt: skip
up_down = opposite(
    (
        ("In {disease} the pressure in the {organ} increases.", "في {disease_ar} يزداد الضغط في {organ_ar}.",
         "في {disease_ar} ينخفض الضغط في {organ_ar}."),
        ("Treatment of {disease} decreased the swelling of the {organ}.",
         "أدى علاج {disease_ar} إلى انخفاض تورم {organ_ar}.",
         "أدى علاج {disease_ar} إلى زيادة تورم {organ_ar}."),
    )
)  # fmt: skip
acute_chronic = opposite(
    (
        ("She has {disease} and acute pain of the {organ}.", "لديها {disease_ar} وألم حاد في {organ_ar}.",
         "لديها {disease_ar} وألم مزمن في {organ_ar}."),
        ("Chronic inflammation of the {organ} is a cause of {disease}.",
         "الالتهاب المزمن في {organ_ar} من أسباب {disease_ar}.",
         "الالتهاب الحاد في {organ_ar} من أسباب {disease_ar}."),
    )
)  # fmt: skip


def identifier(random: Random) -> Made:
    name, wrong = random.choice(
        (
            ("CD4", "CD8"),
            ("vitamin B12", "B6"),
            ("IL-6", "IL-1"),
            ("T3", "T4"),
            ("factor V8", "V9"),
            ("H1N1", "H5N1"),
        )
    )
    token = name.split()[-1]
    disease, disease_ar = random.choice(DISEASES)
    source = f"In {disease} the level of {name} was measured and found to be low."
    right = f"في {disease_ar} قيس مستوى {token} ووُجد منخفضًا."
    return source, right, right.replace(token, wrong)


def cut(random: Random) -> Made:
    source, right, _ = dosing(random)
    words = right.split()
    return source, right, " ".join(words[: int(len(words) * random.uniform(0.3, 0.8))])


def echo(random: Random) -> Made:
    source, right, _ = dosing(random)
    return source, right, source


def residue(random: Random) -> Made:
    source, right, _ = dosing(random)
    return source, right, right.replace("لا تكرر الدورة", "Do not repeat the course")


def stripped(random: Random) -> Made:
    disease, disease_ar = random.choice(DISEASES)
    (drug, drug_ar), organ = random.choice(DRUGS), random.choice(ORGANS)
    source = f"In {disease} of the {organ[0]} the gene (BRCA1) is tested before {drug} is given."
    right = f"في {disease_ar} في {organ[1]} يُفحص الجين (BRCA1) قبل إعطاء {drug_ar}."
    return source, right, right.replace("BRCA1", "")


def chatter(random: Random) -> Made:
    source, right, _ = dosing(random)
    before = random.choice(
        ("Sure! ", "Here is the translation:\n", "```\n", "بالتأكيد! ", "إليك الترجمة: ", "<translation>")
    )
    return source, right, before + right


def broken(random: Random) -> Made:
    source, right, _ = dosing(random)
    at = random.randrange(5, 25)
    return source, right, right[:at] + "\ufffd" + right[at + 1 :]


def override(random: Random) -> Made:
    source, right, _ = dosing(random)
    at = random.randrange(5, 25)
    return source, right, right[:at] + random.choice("\u202a\u202b\u202d\u202e") + right[at:]


def unbalanced(random: Random) -> Made:
    source, right, _ = dosing(random)
    at = random.randrange(5, 25)
    return source, right, right[:at] + random.choice("\u2066\u2067\u2068\u2069") + right[at:]


NUMBER = frozenset({"number", "unit", "frequency", "dose"})
TEXT_CLASSES: dict[str, tuple[Callable[[Random], Made], frozenset[str]]] = {
    "number digit": (number_digit, NUMBER),
    "number tenfold": (number_tenfold, NUMBER),
    "number dropped": (number_dropped, NUMBER),
    "number decimal sign lost": (decimal_lost, NUMBER),
    "number range bound": (range_bound, NUMBER),
    "number percent": (percent, NUMBER),
    "number power flattened": (power, NUMBER),
    "number word": (number_word, NUMBER),
    "number age": (age, NUMBER),
    "unit thousandfold": (unit_thousandfold, frozenset({"unit"})),
    "unit of another dimension": (unit_dimension, frozenset({"unit"})),
    "unit dropped": (unit_dropped, frozenset({"unit"})),
    "unit of time": (unit_time, frozenset({"unit"})),
    "unit of a lab value": (unit_lab, frozenset({"unit"})),
    "frequency changed": (frequency_changed, frozenset({"frequency", "number"})),
    "frequency dropped": (frequency_dropped, frozenset({"frequency", "number"})),
    "frequency swapped": (frequency_swapped, frozenset({"dose"})),
    "route changed": (route_changed, frozenset({"route"})),
    "route dropped": (route_dropped, frozenset({"route"})),
    "drug swapped": (drug_swapped, frozenset({"dose"})),
    "drug replaced": (drug_replaced, frozenset({"drug"})),
    "negation dropped": (denial, frozenset({"negation"})),
    "negation added": (negation_added, frozenset({"negation"})),
    "negation except dropped": (except_dropped, frozenset({"negation"})),
    "side": (side, frozenset({"side"})),
    "before and after": (before_after, frozenset({"side"})),
    "increase and decrease": (up_down, frozenset({"side"})),
    "acute and chronic": (acute_chronic, frozenset({"side"})),
    "identifier": (identifier, frozenset({"identifier", "number"})),
    "cut": (cut, frozenset({"cut"})),
    "echo": (echo, frozenset({"echo"})),
    "residue": (residue, frozenset({"residue"})),
    "latin stripped": (stripped, frozenset({"stripped"})),
    "chatter": (chatter, frozenset({"chatter"})),
    "broken character": (broken, frozenset({"characters"})),
    "bidi override": (override, frozenset({"characters"})),
    "isolates unbalanced": (unbalanced, frozenset({"characters"})),
}

Question = tuple[MultipleChoice, MultipleChoice]


def exam(random: Random) -> Question:
    """Make a right pair of questions with a reference to options in the rationale."""
    disease, disease_ar = random.choice(DISEASES)
    drugs = random.sample(DRUGS, 3)
    last, last_ar = random.choice(
        (("All of the above", "جميع ما سبق"), ("None of the above", "لا شيء مما سبق"))
    )
    answer = random.randrange(3)
    letter, letter_ar = "ABCD"[answer], ("أ", "ب", "ج", "د")[answer]
    return (
        question(
            "en", f"Which of the following drugs is best for {disease}?",
            (*(name for name, _ in drugs), last), answer,
            f"Ans. {letter} is the drug of choice in {disease}.",
        ),
        question(
            "ar", f"أي من الأدوية التالية هو الأفضل لعلاج {disease_ar}؟",
            (*(name for _, name in drugs), last_ar), answer,
            f"الإجابة {letter_ar} هي الدواء المختار في {disease_ar}.",
        ),
    )  # fmt: skip


def with_options(target: MultipleChoice, options: tuple[str, ...], answer: int) -> MultipleChoice:
    return question("ar", target.question, options, answer, target.rationale or "")


def option_dropped(random: Random) -> Question:
    source, target = exam(random)
    return source, with_options(target, target.options[:-1], target.answers[0])


def option_collapsed(random: Random) -> Question:
    source, target = exam(random)
    one, other = random.sample(range(3), 2)
    options = list(target.options)
    options[one] = options[other]
    return source, with_options(target, tuple(options), target.answers[0])


def option_emptied(random: Random) -> Question:
    source, target = exam(random)
    options = list(target.options)
    options[random.randrange(4)] = ""
    return source, with_options(target, tuple(options), target.answers[0])


def option_catch_all(random: Random) -> Question:
    source, target = exam(random)
    turned = {"جميع ما سبق": "لا شيء مما سبق", "لا شيء مما سبق": "جميع ما سبق"}[target.options[3]]
    return source, with_options(target, (*target.options[:3], turned), target.answers[0])


def option_order(random: Random) -> Question:
    source, target = exam(random)
    one, two, three, last = target.options
    return source, with_options(target, (two, three, one, last), target.answers[0])


def key_moved(random: Random) -> Question:
    source, target = exam(random)
    wrong = (target.answers[0] + random.randint(1, 3)) % 4
    return source, with_options(target, target.options, wrong)


def letter_changed(random: Random) -> Question:
    source, target = exam(random)
    right = ("أ", "ب", "ج", "د")[target.answers[0]]
    wrong = random.choice([letter for letter in ("أ", "ب", "ج", "د") if letter != right])
    why = (target.rationale or "").replace(f"الإجابة {right}", f"الإجابة {wrong}")
    return source, question("ar", target.question, target.options, target.answers[0], why)


OPTION_CLASSES: dict[str, tuple[Callable[[Random], Question], frozenset[str]]] = {
    "option dropped": (option_dropped, frozenset({"option"})),
    "option collapsed": (option_collapsed, frozenset({"option"})),
    "option emptied": (option_emptied, frozenset({"option"})),
    "option all and none": (option_catch_all, frozenset({"option"})),
    "option order": (option_order, frozenset({"drug", "option"})),
    "key": (key_moved, frozenset({"key"})),
    "letter": (letter_changed, frozenset({"letter"})),
}


def in_script(text: str, index: int) -> str:
    """Write the digits of a text in one of the three scripts, by the case's number."""
    return text.translate(str.maketrans(SCRIPTS[0], SCRIPTS[index % 3]))


def errors(only: str = "") -> Iterator[Case]:
    """Give the pairs with one seeded error, class by class, or those of one class."""
    for name, (make, checks) in TEXT_CLASSES.items():
        for index in range(PER_CLASS if only in {"", name} else 0):
            source, _, wrong = make(Random(f"{name}:{index}"))
            target = wrong if name in {"identifier", "echo"} else in_script(wrong, index)
            yield Case(name, passage(source, "en"), passage(target, "ar"), checks)
    for name, (make_question, checks) in OPTION_CLASSES.items():
        for index in range(PER_CLASS if only in {"", name} else 0):
            yield Case(name, *make_question(Random(f"{name}:{index}")), checks)


def reworded() -> dict[str, Callable[[Random], Pairs]]:
    """Give the kinds of right translations that look different."""

    def dose(template: str) -> Callable[[Random], Pairs]:
        def make(random: Random) -> Pairs:
            slots = pick(random)
            slots["days_word"] = NUMBER_WORDS[int(str(slots["days"]))]
            return DOSE_EN.format(**slots), template.format(**slots)

        return make

    def short(random: Random) -> Pairs:
        slots = pick(random)
        source = DOSE_EN.replace("{freq}", "{freq_short}").format(**slots)
        return source, DOSE_AR.format(**slots)

    def kept_short(random: Random) -> Pairs:
        slots = pick(random)
        return DOSE_EN.format(**slots), DOSE_AR.replace("{freq_ar}", "{freq_short}").format(**slots)

    def converted(random: Random) -> Pairs:
        grams = random.randint(2, 9)
        drug, drug_ar = random.choice(DRUGS)
        return f"Give {drug} {grams} g at once.", f"أعط {drug_ar} {grams}000 ملغ فورًا."

    def dual(random: Random) -> Pairs:
        unit, unit_ar = random.choice(
            (("days", "يومين"), ("weeks", "أسبوعين"), ("hours", "ساعتين"), ("years", "عامين"))
        )
        disease, disease_ar = random.choice(DISEASES)
        source = f"The patient has had {disease} for 2 {unit} and takes 2 tablets."
        return source, f"يعاني المريض {disease_ar} منذ {unit_ar} ويتناول قرصين."

    def brand(random: Random) -> Pairs:
        slots = pick(random)
        name = random.choice(sorted(BRANDS))
        slots |= {"drug": name, "drug_ar": BRANDS[name]}
        return DOSE_EN.format(**slots), DOSE_AR.format(**slots)

    def thousands(random: Random) -> Pairs:
        count = random.randint(11, 99)
        sign = random.choice((",", "٬", ".", "", "\u202f"))
        source = f"The platelet count is {count},000/µL and the temperature is 38.5 °C."
        return source, f"عدد الصفيحات {count}{sign}000/ميكرولتر ودرجة الحرارة 38٫5 درجة مئوية."

    def isolated(random: Random) -> Pairs:
        slots = pick(random)
        return DOSE_EN.format(**slots), DOSE_AR.replace(
            "{dose} {unit_ar}", "\u2068{dose} {unit_latin}\u2069"
        ).format(**slots)

    return {
        "as it is": dose(DOSE_AR),
        "unit in Latin letters": dose(DOSE_AR.replace("{unit_ar}", "{unit_latin}")),
        "unit spelled out": dose(DOSE_AR.replace("{unit_ar}", "{unit_long}")),
        "number as word": dose(DOSE_AR.replace("{days}", "{days_word}")),
        "clauses reordered": dose(
            "لا تكرر الدورة دون استشارة. "
            "لمدة {days} أيام يُعطى {freq_ar} {route_ar} {dose} {unit_ar} من {drug_ar}."
        ),
        "tatweel and tashkeel": dose(DOSE_AR.replace("لمدة", "لِمُـدَّةِ").replace("أيام", "أيّـام")),
        "short form spelled out": short,
        "short form in the translation": kept_short,
        "exact conversion": converted,
        "dual": dual,
        "brand for generic": brand,
        "group and decimal signs": thousands,
        "isolates around Latin": isolated,
    }


def negatives() -> Iterator[Case]:
    """Give right translations: those behind the errors, and rewordings that must pass."""
    for name, (make, _) in TEXT_CLASSES.items():
        for index in range(6):
            source, right, _ = make(Random(f"{name}:{index}"))
            target = right if name == "identifier" else in_script(right, index)
            yield Case(f"right: {name}", passage(source, "en"), passage(target, "ar"), frozenset())
    for kind, reword in reworded().items():
        for index in range(PER_CLASS):
            source, right = reword(Random(f"{kind}:{index}"))
            yield Case(kind, passage(source, "en"), passage(in_script(right, index), "ar"), frozenset())
    for index in range(PER_CLASS):
        yield Case("right: question", *exam(Random(f"exam:{index}")), frozenset())
