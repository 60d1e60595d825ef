"""American spelling and the field's own words, in the package, tools, configs, tests and pages."""

import re
from pathlib import Path

import pytest

from helpers.paths import ROOT

FOLDERS = {
    'mssl_plugins': ('py', 'j2', 'pyi'),
    'tools': ('py', 'sh', 'md'),
    'configs': ('py', 'md'),
    'docs': ('md',),
    'tests': ('py',),
    '.github': ('yml', 'md'),
}
# Stems of British spellings, as torch and MMEngine do not write.
BRITISH = (
    r'colour|\bgrey|\bcentr(e|es|ed)\b|neighbour|behaviour|favour|flavour|honour|labell|modell'
    r'|cancell|travell|signall|licence|artefact|catalogue|\bdistil\b|\bdistils\b|\bfulfil\b'
    r'|\banalys(e|ed|ing)\b|whilst|amongst|judgement|programme\b'
    r'|(normal|optim|initial|standard|general|regular|visual|recogn|organ|minim|maxim|summar'
    r'|parametr|serial|synchron|quant|random|token|local|categor|util|special|factor|vector'
    r'|discret|binar|penal|real|memor|capital|custom|harmon|emphas|equal|central)is'
    r'(e|ed|er|ers|es|ing|ation|ations)\b'
)
# Our own words for what the field has words for: house word -> what to write.
HOUSE = {
    r'\b(arm|arms)\b': 'variant, or baseline',
    r'\bfloors?\b(?!\()': 'raw-pixel or random-weights baseline; level',
    r'\blaws?\b': 'distribution',
    r'\bequal chances\b': 'equal probability',
    r'(?<![a-z])pictures?(?![a-z/])': 'image, or figure',
    r'\b(teacher|teachers|EMA) moves?\b|\bmoves? (the|momentum) teachers?\b': 'EMA update',
    r'\bbundles?\b': 'packed images',
    r'\bjoined (sets|datasets)\b': 'concatenated datasets',
    r'\bsegments file\b': 'segment store',
    r'\bthe way in\b': 'importing weights',
    r'\buntracked\b': 'without updating running statistics',
    r'\brestorations?\b': 'reconstruction',
    r'\bmask token vectors\b(?! of the paper)': 'segment coverage',
    r'\bPython door\b': 'Python API',
    r'\banybody\b': 'any library, any checkpoint',
}
# Names that stand in people's configs or are a paper's own, and are no prose.
NAMES = re.compile(
    r'LabelledImages|datasets[./]labelled|catalogue\b|_catalogue_|docs/pictures'
    r'|[\"“]mask token vectors[\"”]'
    r'|mask token vectors?(?=\)| in the paper)|mask token vector\)|(?<=[(/])pictures/'
)
FILES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
    *(
        path
        for folder, kinds in FOLDERS.items()
        for kind in kinds
        for path in sorted((ROOT / folder).rglob(f'*.{kind}'))
        if path != Path(__file__)  # which names them
    ),
]


# In small letters: so it is searched several times as fast as with re.I.
ANY = re.compile('|'.join(f'(?:{word})' for word in (BRITISH, *HOUSE)).lower())


def strangers(text: str):
    """(line, word, instead) of the British and house words in a text."""
    if not ANY.search(NAMES.sub('', text).lower()):
        return  # as nearly always
    for number, line in enumerate(text.splitlines(), 1):
        line = NAMES.sub('', line)
        for found in re.finditer(BRITISH, line, re.I):
            yield number, found[0], 'its American spelling'
        for word, instead in HOUSE.items():
            for found in re.finditer(word, line, re.I):
                yield number, found[0], instead


def test_words_are_american_and_the_fields_own():
    assert not [
        f'{path.relative_to(ROOT)}:{number}: "{word}": write {instead}'
        for path in FILES
        for number, word, instead in strangers(path.read_text())
    ]


@pytest.mark.parametrize(
    'text, count',
    [
        ('the centre of a normalised grey picture', 4),
        ('a floor that the teacher moves to', 2),
        ('math.floor(x), catalogue = dict(), mssl_plugins.LabelledImages, arms of a law', 2),
        ('the center of a normalized gray image; the raw-pixel baseline', 0),
        ('precise, noise, otherwise, exercise, compromise, advise, revised, likewise', 0),
    ],
)
def test_a_stranger_is_found(text, count):
    assert len(list(strangers(text))) == count
