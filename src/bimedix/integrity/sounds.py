"""How a name sounds, so that it is known again in another script: ibuprofen, إيبوبروفين.

Outside Latin script drugs are written by their sound, each translator in his own way: they differ in vowels,
doubled letters, b and p, s and z, t and th. The consonants are left, one letter for each kind of sound.
"""

import re
from functools import lru_cache

_LATIN = (
    (re.compile(r"sch|sh"), "s"),
    (re.compile(r"ph"), "f"),
    (re.compile(r"th"), "t"),
    (re.compile(r"ch|qu|ck|q|kh"), "k"),
    (re.compile(r"x"), "ks"),
    (re.compile(r"c(?=[eiy])"), "s"),
    (re.compile(r"c"), "k"),
)
_SIGNS = str.maketrans("vpzj", "fbsg", "aeiouyhw'")
_ARABIC = dict(zip("بپتثطجغچحخدذضرزسصشفڤقكلمنه", "bbtttggg.kdddrssssffkklmn.", strict=True))
_CYRILLIC = dict(zip("бпвфгджзсшщцчклмнртх", "bbffgdgssssstklmnrtk", strict=True))
_LETTERS = _ARABIC | _CYRILLIC


@lru_cache(maxsize=65536)
def consonants(word: str) -> str:
    """Return the consonants of a folded lower-case word; empty when its script is not read by sound."""
    if word.isascii():
        for pattern, sound in _LATIN:
            word = pattern.sub(sound, word)
        heard = word.translate(_SIGNS)
    else:
        heard = "".join(_LETTERS.get(char, "") for char in word).replace(".", "")
    return re.sub(r"(.)\1+", r"\1", heard)
