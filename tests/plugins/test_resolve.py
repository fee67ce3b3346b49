"""Names of what somebody else has written: where they lead, what stands for the code, and how they fail."""

import hashlib
import importlib
import sys

import pytest

from cmbench.errors import UserError
from cmbench.plugins import resolve


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    resolve._entry_points.cache_clear()
    before = set(sys.modules)
    yield tmp_path
    resolve._entry_points.cache_clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def find(name):
    return resolve.find(name, "optimizers", "suite.yaml: optimizers.mine")


def test_a_file_stands_for_itself_by_its_hash(folder):
    (folder / "mine.py").write_text("import beside\nclass Outer:\n    class Inner: text = beside.TEXT\n")
    (folder / "beside.py").write_text("TEXT = 'found'\n")
    found = find("./mine.py:Outer.Inner")
    assert found.value.text == "found"
    assert found.source == hashlib.sha256((folder / "mine.py").read_bytes()).hexdigest()


def test_a_file_that_has_changed_is_read_again(folder):
    (folder / "mine.py").write_text("VALUE = 1\n")
    first = find("./mine.py:VALUE")
    (folder / "mine.py").write_text("VALUE = 2\n")
    second = find("mine.py:VALUE")
    assert (first.value, second.value) == (1, 2)
    assert first.source != second.source


def test_a_module_of_the_current_folder_stands_for_itself_by_its_hash(folder):
    (folder / "own_module.py").write_text("VALUE = 3\n")
    found = find("own_module:VALUE")
    assert (found.value, found.source) == (3, hashlib.sha256(b"VALUE = 3\n").hexdigest())


def test_an_installed_package_stands_for_itself_by_its_version(folder):
    import numpy
    import sklearn

    assert find("numpy.linalg:norm") == resolve.Found(numpy.linalg.norm, f"numpy {numpy.__version__}")
    # Its distribution has another name.
    assert find("sklearn.svm:SVC").source == f"scikit-learn {sklearn.__version__}"


def test_a_package_that_runs_from_a_checkout_is_also_its_file(folder):
    (folder / "code").mkdir()
    (folder / "code" / "edited.py").write_text("VALUE = 4\n")
    installed(folder / "site", "edited", "1.0", {})
    sys.path[:0] = [str(folder / "site"), str(folder / "code")]
    try:
        found = find("edited:VALUE")
    finally:
        del sys.path[:2]
    assert found.source == f"edited 1.0, {hashlib.sha256((folder / 'code' / 'edited.py').read_bytes()).hexdigest()}"


def installed(site, name, version, entry_points):
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in entry_points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def test_a_package_registers_names(folder):
    (folder / "theirs.py").write_text("VALUE = 5\n")
    installed(
        folder, "theirs", "2.1", {"cmbench.optimizers": {"nice": "theirs:VALUE"}, "cmbench.surfaces": {"s": "x:y"}}
    )
    importlib.invalidate_caches()
    assert resolve.entry_points("optimizers")["nice"] == "theirs:VALUE"
    assert resolve.is_outside("nice", "optimizers")
    assert not resolve.is_outside("nice", "surfaces")
    assert find("nice") == resolve.Found(5, "theirs 2.1")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise KeyError('gone')", "cannot be imported: KeyError: 'gone'"),
        ("import sys; sys.exit(0)", "cannot be imported: it ends the process (SystemExit: 0)"),
        (
            "import nothing_of_this_name",
            "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("def", "cannot be imported: SyntaxError"),
        ("Mime = 1", "'./bad.py' has no 'Mine': did you mean 'Mime'?"),
    ],
)
def test_what_goes_wrong_is_one_message_that_names_it(folder, code, message):
    (folder / "bad.py").write_text(code)
    with pytest.raises(UserError) as error:
        find("./bad.py:Mine")
    assert str(error.value).startswith("suite.yaml: optimizers.mine: './bad.py:Mine'")
    assert message in str(error.value)
    assert not any(name.startswith("cmbench_file_bad") for name in sys.modules) or code == "Mime = 1"


def test_a_file_that_is_not_there(folder):
    with pytest.raises(UserError, match=r"'\./none\.py:Mine' cannot be imported: .*no such file"):
        find("./none.py:Mine")


def test_what_a_module_prints_goes_to_stderr_with_its_name(folder, capsys):
    (folder / "loud.py").write_text("print('hello')\nMine = 1\n")
    find("./loud.py:Mine")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "'./loud.py:Mine' prints when it is imported: hello\n"


def test_an_identity_leaves_out_the_folder_of_a_file():
    assert resolve.identity_of("./a/b/mine.py:Mine") == "mine.py:Mine"
    assert resolve.identity_of("torch.optim:NAdam") == "torch.optim:NAdam"
    assert resolve.identity_of("adam_cm") == "adam_cm"


def test_a_file_is_looked_for_beside_the_suite(folder):
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.py").write_text("")
    assert resolve.beside("./mine.py:Mine", folder / "suites") == "suites/mine.py:Mine"
    (folder / "mine.py").write_text("")
    assert resolve.beside("./mine.py:Mine", folder / "suites") == "./mine.py:Mine"
    assert resolve.beside("torch.optim:SGD", folder / "suites") == "torch.optim:SGD"
