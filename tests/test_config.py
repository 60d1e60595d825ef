"""The text of a config is laid out once, and again when the config changes."""

from mmengine.config import Config
from yapf.yapflib import yapf_api

from mssl_plugins import config  # noqa: F401, keeps the text


def test_a_text_is_made_once(monkeypatch):
    calls, stock = [], yapf_api.FormatCode
    monkeypatch.setattr(
        yapf_api, 'FormatCode', lambda *args, **kw: calls.append(1) or stock(*args, **kw)
    )
    cfg = Config(dict(model=dict(type='A', width=1), names=['a', 'b']))
    text = cfg.pretty_text
    assert text == cfg.pretty_text == cfg.copy().pretty_text and len(calls) == 1
    assert Config.fromstring(text, '.py').to_dict() == cfg.to_dict()
    cfg.model.width = 2
    changed = cfg.pretty_text
    assert changed != text and Config.fromstring(changed, '.py').model.width == 2
    cfg.model.width = '2'  # another text for another type
    last = cfg.pretty_text
    assert last != changed and len(calls) == 3
    plain = Config(cfg.to_dict(), format_python_code=False)
    assert plain.pretty_text != last and len(calls) == 3  # not laid out


def test_lazy_names_of_two_modules_have_two_texts(tmp_path):
    texts = []
    for module in ('torch.optim', 'torch.optim.sgd'):
        file = tmp_path / f'{module}.py'.replace('.', '_', 1)
        file.write_text(f'from {module} import SGD\noptimizer = dict(type=SGD, lr=1)\n')
        texts.append(Config.fromfile(file).pretty_text)
        assert f"'{module}.SGD'" in texts[-1]
    assert texts[0] != texts[1]
