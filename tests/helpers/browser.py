"""A real browser without a window, where the machine has one."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WATCH = """<script>
window.seen = [];
addEventListener('error', e => seen.push('error: ' + (e.message || e.target.outerHTML)), true);
addEventListener('securitypolicyviolation', e => seen.push('blocked: ' + e.blockedURI));
console.error = (...words) => seen.push('console: ' + words.join(' '));
</script>"""
ASK = """<pre id="answer"></pre><script>
addEventListener('load', () => setTimeout(() => {
  const answer = (() => { %s })();
  document.getElementById('answer').textContent = JSON.stringify({
    answer, seen,
    requests: performance.getEntriesByType('resource').map(r => r.name)
      .filter(name => !name.startsWith('data:')),
    images: [...document.images].map(i => i.complete && i.naturalWidth > 0),
  });
}, 200));
</script>"""


def ask(page: Path, question: str, folder: Path) -> dict:
    """What a script finds in a page that Chromium shows.

    Args:
        page (Path): An HTML file.
        question (str): The body of a function of JavaScript.
        folder (Path): For the browser's own files.

    Returns:
        dict: ``answer``; ``seen``: errors, messages and what was blocked; ``requests``: what was
        loaded from outside the file; ``images``: whether each is shown.
    """
    browser = shutil.which('chromium') or shutil.which('google-chrome')
    if browser is None:
        pytest.skip('no Chromium on this machine (Debian: apt-get install chromium)')
    text = page.read_text(encoding='utf-8')
    assert '<head>' in text and '</body>' in text
    copy = folder / 'watched.html'
    copy.write_text(
        text.replace('<head>', f'<head>{WATCH}', 1).replace('</body>', f'{ASK % question}</body>'),
        encoding='utf-8',
    )
    done = subprocess.run(
        [
            browser,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            f'--user-data-dir={folder / "profile"}',
            '--virtual-time-budget=3000',
            '--dump-dom',
            copy.absolute().as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = re.search(r'<pre id="answer">(.+?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))
