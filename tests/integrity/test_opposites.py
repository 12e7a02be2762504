"""Words with an opposite: antonyms are found, and a negation said by another word is no finding."""

import pytest

from bimedix.integrity import check_texts


def stopped(source: str, target: str, code: str = "ar") -> bool:
    """Tell whether the negation check gives an error."""
    found = check_texts(source, target, "en", code)
    return any(one.check == "negation" and one.severity == "error" for one in found)


@pytest.mark.parametrize(
    "source, right, wrong",
    [
        ("He is able to walk.", "يستطيع المشي.", "يعجز عن المشي."),
        ("She is unable to speak.", "لا تقدر على الكلام.", "تقدر على الكلام."),
        (
            "The trial failed to show a benefit.",
            "عجزت التجربة عن إظهار فائدة.",
            "تمكنت التجربة من إظهار فائدة.",
        ),
        ("The reason is unclear.", "السبب غامض.", "السبب واضح."),
        ("Children were excluded.", "استُبعد الأطفال.", "شملت الدراسة الأطفال."),
        ("This tap is unfit for use.", "هذا الصنبور لا يصلح للاستعمال.", "هذا الصنبور صالح للاستعمال."),
        ("He continued the drops.", "واصل استعمال القطرة.", "أوقف استعمال القطرة."),
        ("Parking is prohibited here.", "يُحظر الوقوف هنا.", "يُسمح بالوقوف هنا."),
        ("The culture was negative.", "كانت المزرعة سلبية.", "كانت المزرعة إيجابية."),
        ("Swab results do not rule out infection.", "المسحة لا تستبعد العدوى.", "المسحة تستبعد العدوى."),
        ("She refused the operation.", "لم تقبل العملية.", "قبلت العملية."),
        ("The lesion has not changed.", "بقيت الآفة على حالها.", "تغيرت الآفة."),
    ],
)
def test_an_antonym_is_found_and_another_wording_is_not(source: str, right: str, wrong: str) -> None:
    """What counts is whether the axis is denied, not by which word."""
    assert not stopped(source, right)
    assert stopped(source, wrong)


@pytest.mark.parametrize(
    "source, right, wrong",
    [
        ("Wait at least 20 minutes.", "انتظر مدة لا تقل عن 20 دقيقة.", "انتظر مدة تقل عن 20 دقيقة."),
        ("Wait at most 20 minutes.", "انتظر 20 دقيقة كحد أقصى.", "انتظر 20 دقيقة على الأقل."),
        ("Up to 3 visitors may enter.", "يدخل ما لا يزيد على 3 زوار.", "يدخل ما يزيد على 3 زوار."),
        ("Wait at least half an hour.", "انتظر 30 دقيقة على الأقل.", "انتظر 30 دقيقة كحد أقصى."),
        ("Give it for no more than 14 days.", "لا تتعدى مدة إعطائه 14 يومًا.", "تتعدى مدة إعطائه 14 يومًا."),
        ("Keep it below 8 °C.", "احفظه في حرارة دون 8 درجات مئوية.", "احفظه في حرارة فوق 8 درجات مئوية."),
    ],
)
def test_a_bound_is_compared_with_the_bound_of_the_same_number(source: str, right: str, wrong: str) -> None:
    """At least is not at most, with or without a negation."""
    assert not stopped(source, right)
    assert stopped(source, wrong)


@pytest.mark.parametrize(
    "source, right",
    [
        ("There is no fever, cough or rash.", "لا حمى ولا سعال ولا طفح."),
        ("Do not crush or chew the capsule.", "لا تسحق الكبسولة ولا تمضغها."),
        ("Go back to work only after the fever has gone.", "لا تعد إلى العمل إلا بعد زوال الحمى."),
        ("Take it as told, otherwise the pain returns.", "خذه كما قيل لك، وإلا عاد الألم."),
        ("See a doctor without delay.", "راجع الطبيب فورًا."),
        ("None of the horses died.", "نجت الخيول جميعها."),
        ("Guests must be 18 and must not smoke.", "يجب أن يكون عمر الضيف 18 سنة وألا يدخن."),
        ("It may be used only if the seal is whole.", "لا يستعمل إلا إذا كان الختم سليمًا."),
        ("Lift at least 5 kg and 3 times.", "يجب ألا يقل الوزن عن 5 كغ ولا العدد عن 3 مرات."),
        ("He was given nothing but water.", "لم يُعط سوى الماء."),
        (
            "Snow seldom falls here and may not be seen until after the new year.",
            "يندر أن يسقط الثلج هنا، وقد لا يُرى إلا بعد رأس السنة.",
        ),
        ("No food for six hours and no water for two hours.", "يُمنع الطعام ست ساعات والماء ساعتين."),
    ],
)
def test_negations_that_a_language_says_in_its_own_way_pass(source: str, right: str) -> None:
    """Lists under one negation, exceptions for only, idioms."""
    assert not stopped(source, right)


@pytest.mark.parametrize(
    "source, wrong",
    [
        ("May I swim? Yes, from tomorrow.", "هل أسبح؟ نعم، من الغد."),
        ("Yes, from tomorrow on.", "لا، ليس من الغد."),
        ("No. Drink water.", "نعم، اشرب الماء."),
    ],
)
def test_an_answer_keeps_its_yes_or_no(source: str, wrong: str) -> None:
    """Only where it opens the text."""
    assert stopped(source, wrong) == (not source.startswith("May"))


@pytest.mark.parametrize(
    "source, wrong",
    [
        ("The bread is safe.", "الخبز غير مأمون."),
        ("Give the horse water.", "لا تعط الحصان ماء."),
        ("He can walk with a stick.", "لا يستطيع المشي بعصا."),
    ],
)
def test_a_negation_put_into_a_short_text_is_found(source: str, wrong: str) -> None:
    """By a particle or by a privative."""
    assert stopped(source, wrong)


@pytest.mark.parametrize(
    "source, right, wrong",
    [
        (
            "The tide is not fast enough to move the boat. Do not row.",
            "المد أبطأ من أن يحرك القارب. لا تجدف.",
            "المد سريع بما يكفي لتحريك القارب. لا تجدف.",
        ),
        (
            "The left tube was not seen and the wall is not thickened.",
            "لم يظهر الأنبوب الأيسر، وسماكة الجدار طبيعية.",
            "ظهر الأنبوب الأيسر، وسماكة الجدار زائدة.",
        ),
        (
            "Forty could not be reached. The rest travelled without charge.",
            "تعذر الوصول إلى أربعين. وسافر الباقون مجانًا.",
            "أمكن الوصول إلى أربعين. وسافر الباقون بأجر.",
        ),
        (
            "Masks are not to be worn in the pool. They should otherwise be worn all day and never washed.",
            "لا تُلبس الكمامات في المسبح. وفيما عدا ذلك تُلبس طوال النهار، ولا تُغسل أبدًا.",
            "لا تُلبس الكمامات في المسبح. وفيما عدا ذلك تُلبس طوال النهار، وتُغسل دائمًا.",
        ),
        (
            "A single normal reading is not sufficient.",
            "لا تكفي قراءة طبيعية واحدة.",
            "تكفي قراءة طبيعية واحدة.",
        ),
        (
            "Leave it undisturbed unless it leaks.",
            "اتركه على حاله ما لم يتسرب.",
            "غيّره ما لم يتسرب.",
        ),
        ("It offers many ways to grow.", "يتيح سبلًا كثيرة للنمو.", "لا يتيح سبلًا كثيرة للنمو."),
    ],
)
def test_what_one_side_says_with_a_sign_and_the_other_without(source: str, right: str, wrong: str) -> None:
    """Comparatives that deny, sound and free, otherwise, a verb of its own."""
    assert not stopped(source, right)
    assert stopped(source, wrong)


def test_answers_to_a_question_that_denies_may_differ() -> None:
    """No, it is not, and yes, it is not, say the same; yes alone does not."""
    assert not stopped("No, it is not closed.", "نعم، ليس مغلقًا.")
    assert stopped("No, it is open.", "نعم، إنه مفتوح.")
