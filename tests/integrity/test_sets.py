"""What only shows over a whole set of translations."""

from bimedix.integrity import check_set

ORGANS = ("heart", "liver", "kidney", "lung", "brain", "spleen")
SAME = "كيف يمكن كشف انتحال العناوين في شبكة الحاسوب؟\nجدار حماية\nنظام كشف التسلل\nتشفير الملفات"


def source(organ: str) -> str:
    return f"Which drug harms the {organ} first?\nwarfarin {organ}\nheparin {organ}\naspirin {organ}"


def target(organ: str) -> str:
    words = {"heart": "القلب", "liver": "الكبد", "kidney": "الكلية", "lung": "الرئة", "brain": "الدماغ"}
    name = words.get(organ, "الطحال")
    return f"أي دواء يضر {name} أولًا في حالة {organ}؟\nوارفارين {name}\nهيبارين {name}\nأسبرين {name}"


def test_one_output_for_many_inputs_is_found() -> None:
    """Rows whose target is nearly the same while their sources differ are errors, others are not."""
    unlike = [
        ("1", "A man has a swollen knee after a fall.\nfracture\ngout\nsprain", SAME),
        (
            "2",
            "Which hormone lowers glucose in blood?\ninsulin\nglucagon\ncortisol",
            SAME.replace("كيف", "بم"),
        ),
        ("3", "Name the vessel that leaves the left ventricle.\naorta\nvena cava\nlung vein", SAME),
        ("4", "Vitamin C is needed to make collagen.\ntrue\nfalse\nunknown", SAME + " الآن"),
    ]
    found = check_set([*unlike, *((organ, source(organ), target(organ)) for organ in ORGANS)])

    assert {key for key, findings in found.items() if findings[0].severity == "error"} == {"1", "2", "3", "4"}


def test_equal_sources_may_have_equal_targets() -> None:
    """A record that stands twice in the source is no fault of the translation."""
    assert check_set([(str(n), source("heart"), target("heart")) for n in range(5)]) == {}


def test_a_leaked_example_is_found_by_its_words_or_its_canary() -> None:
    """Examples of the prompt are searched for word for word, and nearly."""
    pairs = [
        ("near", source("heart"), SAME.replace("؟", "")),
        ("canary", source("liver"), target("liver") + " ثعلب بنفسجي"),
        ("clean", source("lung"), target("lung")),
    ]
    found = check_set(pairs, examples=[SAME, "ثعلب بنفسجي"])

    assert {(key, f.check) for key, findings in found.items() for f in findings} == {
        ("near", "leak"),
        ("canary", "leak"),
    }


def test_echo_and_collapsed_lines_are_found() -> None:
    """A row that repeats its source, and options that became one."""
    collapsed = target("brain").replace("هيبارين", "وارفارين")
    found = check_set([("echo", source("heart"), source("heart")), ("one", source("brain"), collapsed)])

    assert {(key, f.check) for key, findings in found.items() for f in findings} == {
        ("echo", "echo"),
        ("one", "option"),
    }
