"""TIMIT's tables: how its 61 phones fold, and who speaks its core test and the usual dev part.

The folding is that of Lee and Hon, "Speaker-independent phone recognition using hidden Markov models", IEEE TASSP 37,
1989, tables I and II: 48 classes are trained, 39 are scored. Closures, pauses and the silences at both ends become one
silence; the glottal stop q is not scored at all.
"""
# ruff: noqa: SIM905

# 61 phones by what they are in the 48 classes, and in the 39; where a name is its own class it is left out
_TO_48 = {
    "axr": "er",
    "ax-h": "ax",
    **dict.fromkeys(("bcl", "dcl", "gcl"), "vcl"),
    **dict.fromkeys(("kcl", "pcl", "tcl"), "cl"),
    **dict.fromkeys(("h#", "pau"), "sil"),
    "em": "m",
    "nx": "n",
    "eng": "ng",
    "hv": "hh",
    "ux": "uw",
}
_TO_39 = {
    **dict.fromkeys(("vcl", "cl", "epi"), "sil"),
    "ao": "aa",
    "ax": "ah",
    "ix": "ih",
    "el": "l",
    "en": "n",
    "zh": "sh",
}
PHONES = tuple(
    "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv ih ix iy jh k kcl l "
    "m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh".split()
)


def fold(phone: str) -> tuple[str, str] | None:
    """Return the class of one of the 61 phones among the 48 and among the 39; None for q, which is not scored."""
    if phone == "q":
        return None
    among_48 = _TO_48.get(phone, phone)
    return among_48, _TO_39.get(among_48, among_48)


# the 24 speakers of the core test: two men and one woman of each dialect region (TIMIT's own documentation)
CORE_TEST = frozenset(
    "mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 "
    "mnjm0 fdhc0 mjln0 mpam0 fmld0".split()
)
# the 50 other test speakers that papers tune on (Halberstadt 1998's development set, as Kaldi lists it)
DEV = frozenset(
    "faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0 "
    "mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 "
    "fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1".split()
)
