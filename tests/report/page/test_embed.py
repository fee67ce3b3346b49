"""Foreign text stays text."""

import json

import pytest

from cmbench.report.page import embed


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "a\u2028b\u2029c", "&amp;", '"\\'])
def test_data_says_the_same_without_a_character_that_html_or_javascript_reads(text):
    found = embed.data({text: [text]})
    assert json.loads(found) == {text: [text]}
    assert not set(found) & set("<>&\u2028\u2029")


def test_what_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        embed.data([float("nan")])


def test_text_ends_neither_an_element_nor_an_attribute():
    assert embed.text("""<a b='c' d="e">&""") == "&lt;a b=&#x27;c&#x27; d=&quot;e&quot;&gt;&amp;"


def test_a_fingerprint_is_that_of_the_standard():
    # From the Content Security Policy specification, section 2.3.1's way of writing, for the script `alert(1)`.
    assert embed.fingerprint("alert(1)") == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
