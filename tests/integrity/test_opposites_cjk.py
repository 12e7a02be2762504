"""Chinese and Japanese: signs before and after their word, in lists; routes, brands, lost sentences."""

import pytest

from bimedix.integrity import Glossary, Term, check_texts


def errors(source: str, target: str, code: str, glossary: Glossary | None = None) -> set[str]:
    """Return the checks that give an error."""
    found = check_texts(source, target, "en", code, glossary=glossary)
    return {one.check for one in found if one.severity == "error"}


@pytest.mark.parametrize(
    "code, source, right, wrong",
    [
        ("zh", "Do not rinse the mouth.", "请勿漱口。", "可以漱口。"),
        ("zh", "Bathing is prohibited for a week.", "一周内严禁沐浴。", "一周内可以沐浴。"),
        ("zh", "The swab was negative.", "拭子结果为阴性。", "拭子结果为阳性。"),
        ("zh", "Hardly any pupil was ill.", "几乎没有学生患病。", "许多学生患病。"),
        ("zh", "The cause is unclear.", "病因不明。", "病因已知。"),
        ("zh", "Omit the syrup on Sunday.", "周日停服糖浆。", "周日照常服用糖浆。"),
        ("zh", "A shower need not be avoided.", "不必避免淋浴。", "必须避免淋浴。"),
        ("ja", "The swab was negative.", "ぬぐい液は陰性であった。", "ぬぐい液は陽性であった。"),
        ("ja", "Do not rinse the mouth.", "口をすすがないでください。", "口をすすいでください。"),
        ("ja", "You must not bathe for a week.", "1週間は入浴してはならない。", "1週間は入浴してよい。"),
        ("ja", "The tube must be flushed.", "チューブは洗浄しなければならない。", ""),
        ("ja", "Hardly anyone fell ill.", "ほとんど誰も発病しなかった。", "大半が発病した。"),
        ("ja", "Drops were stopped on Monday.", "月曜に点眼を中止した。", "月曜も点眼を継続した。"),
        ("ja", "The dressing is unsuitable.", "この被覆材は適さない。", "この被覆材は適している。"),
    ],
)
def test_an_opposite_is_found_and_another_wording_is_not(
    code: str, source: str, right: str, wrong: str
) -> None:
    """A sign may stand before its word or after it, and なければならない is none."""
    assert "negation" not in errors(source, right, code)
    assert not wrong or "negation" in errors(source, wrong, code)


@pytest.mark.parametrize(
    "code, source, right",
    [
        ("zh", "Come immediately.", "请立即前来，不可耽搁。"),
        ("zh", "No redness, swelling or itching.", "无红肿，亦无瘙痒。"),
        ("zh", "If complaints do not subside, call us.", "如不适未减轻，请来电。"),
        ("ja", "Do not cut it, and do not heat it.", "切断や加熱はしないこと。"),
        ("ja", "He was afebrile and had no cough.", "発熱も咳もなかった。"),
        ("zh", "Gout without diabetes.", "痛风，无糖尿病。"),
        ("zh", "Allopurinol is taken at night.", "夜间服用别嘌醇。"),
        ("ja", "Swallow it without chewing.", "噛まずに飲み込んでください。"),
        ("ja", "The stent was removed without difficulty.", "ステントは問題なく抜去できた。"),
    ],
)
def test_what_is_said_twice_or_once_for_a_list_is_no_finding(code: str, source: str, right: str) -> None:
    """One sign may stand for several, and several for one."""
    assert "negation" not in errors(source, right, code)


def test_a_word_that_denies_by_itself_wants_a_denial() -> None:
    """Missed is said by no sentence without any sign; on the first film, found is its opposite."""
    source = "The polyp was missed on the first film."

    assert "negation" not in errors(source, "首次X线片漏诊了息肉。", "zh")
    assert "negation" in errors(source, "首次X线片即发现息肉。", "zh")


def test_most_who_did_not_are_most() -> None:
    """A negation turns ほとんど, and not 大半."""
    source = "Most of the guests did not return."

    assert "negation" not in errors(source, "客の大半は戻らなかった。", "ja")
    assert "negation" in errors("Hardly any guests returned.", "客の大半が戻った。", "ja")


@pytest.mark.parametrize(
    "code, source, right, wrong",
    [
        ("zh", "No. Take it off first.", "不可以。先取下来。", "可以。先取下来。"),
        ("ja", "No. Take it off first.", "いいえ。まず外してください。", "はい。まず外してください。"),
    ],
)
def test_an_answer_stays_what_it_was(code: str, source: str, right: str, wrong: str) -> None:
    """No is not yes."""
    assert "negation" not in errors(source, right, code)
    assert "negation" in errors(source, wrong, code)


@pytest.mark.parametrize(
    "code, source, right, wrong",
    [
        ("zh", "Atropine 0.6 mg intravenously.", "静注阿托品0.6 mg。", "口服阿托品0.6 mg。"),
        ("zh", "Inhale two puffs of 100 mcg.", "吸两喷，每喷100微克。", "舌下含两片，每片100微克。"),
        ("ja", "A patch of 25 mg.", "25 mgを皮膚に貼ります。", "25 mgを皮下注射します。"),
        ("es", "Inject 10 mg under the skin.", "Inyecte 10 mg bajo la piel.", "Inyecte 10 mg en el músculo."),
        ("fr", "Rectal diazepam 10 mg.", "Diazépam intrarectal, 10 mg.", "Diazépam intramusculaire, 10 mg."),
        ("ru", "Inject 1 mg into the muscle.", "Вводите 1 мг в мышцу.", "Вводите 1 мг в вену."),
    ],
)
def test_a_route_is_known_in_its_many_wordings(code: str, source: str, right: str, wrong: str) -> None:
    """Under the skin, 静注, a patch: each is a route."""
    assert "route" not in errors(source, right, code)
    assert "route" in errors(source, wrong, code)


def test_a_brand_is_the_drug() -> None:
    """プラビックス is clopidogrel; ロキソニン is not."""
    known = Glossary([Term("clopidogrel", ("クロピドグレル",), "drug")], "en", "ja")

    assert "drug" not in errors("Clopidogrel was stopped.", "プラビックスを中止した。", "ja", known)
    assert "drug" in errors("Clopidogrel was stopped.", "ロキソニンを中止した。", "ja", known)


def test_a_known_drug_is_no_spelling_of_another() -> None:
    """Эритромицин sounds like azithromycin and is another drug; сульфат sounds like a brand and is none."""
    source = "Azithromycin was given with magnesium sulfate."

    assert "drug" not in errors(source, "Азитромицин вводили с сульфатом магния, сульфат разводили.", "ru")
    assert "drug" in errors(source, "Эритромицин вводили с сульфатом магния.", "ru")


def test_a_word_among_capitals_names_no_option() -> None:
    """The В of ОДИН РАЗ В НЕДЕЛЮ is a preposition."""
    assert "letter" not in errors("Take it ONCE A WEEK.", "Принимать ОДИН РАЗ В НЕДЕЛЮ.", "ru")
    assert "letter" in errors("The answer is (B).", "Ответ (C).", "ru")


def test_a_minus_in_brackets_is_a_result() -> None:
    """（-） is the negative result of a test, ( ) a hole."""
    assert "stripped" not in errors("Protein was negative.", "尿蛋白（-）。", "zh")
    assert "stripped" in errors("Protein (albumin) was negative.", "尿蛋白（ ）阴性。", "zh")


def test_two_sentences_drawn_together_are_no_cut() -> None:
    """One sentence may say what two did; the first alone may not."""
    source = "The patient was seen by a surgeon on the second day. The wound was closed by hand a week later."
    together = "第二天由外科医生诊视患者，一周后手工缝合伤口。"

    assert "cut" not in errors(source, together, "zh")
    assert "cut" in errors(source, "第二天由外科医生诊视患者。", "zh")


def test_a_rate_may_stand_before_its_number() -> None:
    """毎分25 mL is 25 mL a minute, and not an hour."""
    source = "It was run at 25 mL per hour."

    assert not errors(source, "1時間あたり25 mLで投与した。", "ja")
    assert "unit" in errors(source, "毎分25 mLで投与した。", "ja")
    assert not errors("Give 5 mg/kg.", "每公斤体重给予5 mg。", "zh")


def test_a_time_in_words_keeps_its_unit() -> None:
    """Two weeks are not two months, without a digit too."""
    assert not errors("Wait two weeks.", "请等待两周。", "zh")
    assert "unit" in errors("Wait two weeks.", "请等待两个月。", "zh")


def test_a_question_that_is_gone_is_a_cut() -> None:
    """The last sentence of a vignette asks; without it the vignette is no question."""
    source = "A man of forty has had a dry cough since last winter. What is the best next step?"

    assert "cut" not in errors(source, "一名四十岁男子自去年冬天起干咳。下一步最佳处理是什么？", "zh")
    assert "cut" in errors(source, "一名四十岁男子自去年冬天起一直有干咳症状。", "zh")


def test_an_interval_may_be_a_range() -> None:
    """Every three to five years is 每三至五年, and not every five."""
    source = "Members are invited every three to five years."

    assert not errors(source, "会员每三至五年受邀一次。", "zh")
    assert not errors(source, "会員は3〜5年ごとに案内を受ける。", "ja")
    assert "frequency" in errors(source, "会員は3〜5か月ごとに案内を受ける。", "ja")


@pytest.mark.parametrize(
    "code, source, right, wrong",
    [
        ("zh", "Death cannot be certified by a nurse.", "护士无法出具死亡证明。", "护士可以出具死亡证明。"),
        ("zh", "Sudden weakness of the left arm.", "左臂突发无力。", "右臂突发无力。"),
        ("zh", "No brand is free of lactose.", "任何品牌都含乳糖。", "任何品牌都不含乳糖。"),
        ("zh", "Infuse each gram over an hour.", "每1克输注一小时。", "每2克输注一小时。"),
        ("zh", "The rate must not exceed 6 mL/h.", "速度不应高于6 mL/h。", "速度应高于6 mL/h。"),
        (
            "ja",
            "The pump is anything but safe.",
            "このポンプは到底安全とはいえない。",
            "このポンプは安全である。",
        ),
        ("ja", "Feeding is withheld overnight.", "夜間は栄養を見合わせる。", "夜間も栄養を継続する。"),
        ("ja", "Gauze is no longer needed.", "ガーゼはもはや必要ない。", "ガーゼは今後も必要である。"),
        ("ja", "Chew the last tablet.", "最後の1錠は噛んでください。", "最後の3錠は噛んでください。"),
        ("ja", "Stay away from the cat.", "猫には近寄らないでください。", "猫に近寄ってください。"),
    ],
)
def test_a_sign_of_another_word_of_the_sentence_is_no_error(
    code: str, source: str, right: str, wrong: str
) -> None:
    """Where both sides have as many signs, an opposite near one of them proves nothing."""
    assert not errors(source, right, code)
    assert errors(source, wrong, code)


def test_a_question_turned_by_its_last_word_turns_every_word() -> None:
    """Rule out ... EXCEPT is 除外理由とならない; an EXCEPT that is gone is still found."""
    source = "Each of the following rules out a lung donation EXCEPT:"

    assert "negation" not in errors(source, "次のうち、肺提供の除外理由とならないものはどれか。", "ja")
    assert "negation" in errors("All of these are sour EXCEPT:", "次のうち、酸っぱいものはどれか。", "ja")
