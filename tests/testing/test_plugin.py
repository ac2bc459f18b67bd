import shlex
import subprocess
import sys
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

VIRTUAL = "[pytest]\nvivace_virtual = true\nfilterwarnings = error\naddopts = --strict-markers\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all other plugins out of the inner runs, which is also ten times as fast."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run_pytest(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest("-p", "vivace.testing.plugin", *args)


TELLS_TIME = """
    import asyncio

    async def test_time():
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == 3600.0
"""


def test_a_marked_test_runs_on_virtual_time(pytester: pytest.Pytester) -> None:
    """The marker alone is enough, and is known to --strict-markers."""
    pytester.makepyfile("import pytest\npytestmark = pytest.mark.virtual\n" + dedent(TELLS_TIME))
    run_pytest(pytester, "--strict-markers").assert_outcomes(passed=1)


def test_all_async_tests_run_on_virtual_time_by_option(pytester: pytest.Pytester) -> None:
    """With `vivace_virtual = true` no marker is needed."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(TELLS_TIME)
    run_pytest(pytester).assert_outcomes(passed=1)


def test_an_unmarked_test_is_left_alone(pytester: pytest.Pytester) -> None:
    """Without marker and option, an async test stays pytest's business: it cannot run it."""
    pytester.makepyfile(TELLS_TIME)
    result = run_pytest(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_a_plain_test_is_left_alone(pytester: pytest.Pytester) -> None:
    """A test that is not async runs as ever, marked or not."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import pytest

        def test_plain(): pass

        @pytest.mark.virtual
        def test_marked(): pass
        """
    )
    run_pytest(pytester).assert_outcomes(passed=2)


def test_each_test_has_a_fresh_loop(pytester: pytest.Pytester) -> None:
    """Time starts at 0.0 in every test, also with fixtures, parameters and methods."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.fixture
        def delay(): return 0.3

        class TestMethods:
            @pytest.mark.parametrize("times", [1, 2])
            async def test_sleep(self, delay, times):
                for _ in range(times):
                    await asyncio.sleep(delay)
                assert asyncio.get_running_loop().time() == times * 0.3
        """
    )
    run_pytest(pytester).assert_outcomes(passed=2)


RACE = """
    import asyncio
    import pytest

    async def race():
        seen = []
        async def runner(index):
            await asyncio.sleep(1)
            seen.append(index)
        await asyncio.gather(*map(runner, range(4)))
        return seen
"""


def test_the_failing_seed_is_in_the_report(pytester: pytest.Pytester) -> None:
    """A test that fails under one of its seeds says which, and how to run it again."""
    pytester.makepyfile(
        test_race=dedent(RACE)
        + dedent("""
        @pytest.mark.virtual(seeds=200)
        async def test_order():
            assert (await race())[0] == 0
        """)
    )
    first = run_pytest(pytester)
    first.assert_outcomes(failed=1)
    [line] = [it for it in first.outlines if it.startswith("seed ")]
    seed = line.split(";")[0].removeprefix("seed ")
    assert (
        line
        == f"seed {seed}; to run it again: pytest test_race.py::test_order --vivace-seed={seed}"
    )
    again = run_pytest(pytester, "--vivace-seed", seed)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines([f"seed {seed}; *"])


def test_a_test_runs_once_under_each_seed(pytester: pytest.Pytester) -> None:
    """`seeds=N` is seeds 0 to N-1; `seed` is one; `--vivace-seed` is one, for every test."""
    pytester.makepyfile(
        test_race=dedent(RACE)
        + dedent("""
        runs = []

        @pytest.mark.virtual(seeds=30)
        async def test_many():
            runs.append(tuple(await race()))

        @pytest.mark.virtual(seed=7)
        async def test_one():
            runs.append(tuple(await race()))

        @pytest.mark.virtual
        async def test_none():
            runs.append(tuple(await race()))

        def test_runs():
            assert runs == EXPECTED
        """)
    )
    race = pytester.path / "test_race.py"
    text = race.read_text()
    race.write_text(
        text.replace("runs == EXPECTED", "len(runs) == 32 and runs[7] == runs[30]").replace(
            "def test_runs():", "def test_runs():\n    assert runs[31] == (0, 1, 2, 3)"
        )
    )
    run_pytest(pytester).assert_outcomes(passed=4)
    race.write_text(text.replace("runs == EXPECTED", "len(runs) == 3 and len(set(runs)) == 1"))
    run_pytest(pytester, "--vivace-seed=5").assert_outcomes(passed=4)
    # 40 + 1 + 40: more than the marker says, the pinned one, and one that says nothing.
    race.write_text(text.replace("runs == EXPECTED", "len(runs) == 81 and runs[7] == runs[40]"))
    result = run_pytest(pytester, "--vivace-seeds=40")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["vivace: virtual tests run under 40 seeds at least"])
    # A marker that asks for more has more; and `--vivace-seed` wins over all.
    race.write_text(text.replace("runs == EXPECTED", "len(runs) == 30 + 1 + 20"))
    run_pytest(pytester, "--vivace-seeds=20").assert_outcomes(passed=4)
    race.write_text(text.replace("runs == EXPECTED", "len(runs) == 3"))
    result = run_pytest(pytester, "--vivace-seeds=20", "--vivace-seed=3")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["vivace: virtual tests run under seed 3"])


def test_a_command_line_that_runs_nothing_is_refused(pytester: pytest.Pytester) -> None:
    """`--vivace-seeds=0` is a mistake."""
    pytester.makepyfile(TELLS_TIME)
    result = run_pytest(pytester, "--vivace-seeds=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vivace-seeds=0 would run no test; give 1 or more*"])


def test_markers_add_up(pytester: pytest.Pytester) -> None:
    """Of each option, the marker nearest to the test counts; the others stay."""
    pytester.makepyfile(
        """
        import pytest

        pytestmark = [pytest.mark.virtual(seeds=3), pytest.mark.virtual(allow_unclosed=True)]
        runs = []

        async def count():
            yield 1

        async def test_module():
            runs.append("module")
            async for _ in count():
                break

        @pytest.mark.virtual(seed=5)
        class TestClass:
            async def test_pinned(self):
                runs.append("pinned")
                async for _ in count():
                    break

            @pytest.mark.virtual(..., 2, False)
            async def test_own(self):
                runs.append("own")

        @pytest.mark.virtual(seed=None)
        async def test_asyncios_own_order():
            runs.append("asyncio")

        def test_runs():
            assert runs == ["module"] * 3 + ["pinned"] + ["own"] * 2 + ["asyncio"]
        """
    )
    run_pytest(pytester).assert_outcomes(passed=5)


def test_asyncios_own_order_can_be_pinned(pytester: pytest.Pytester) -> None:
    """`seed=None` is for a test of what asyncio does: no option gives it a seed, but one."""
    pytester.makepyfile(
        dedent(RACE)
        + dedent("""
        @pytest.mark.virtual(seed=None)
        async def test_order():
            assert await race() == [0, 1, 2, 3]
        """)
    )
    run_pytest(pytester).assert_outcomes(passed=1)
    run_pytest(pytester, "--vivace-seeds=50").assert_outcomes(passed=1)


def test_fixtures_are_made_anew_for_each_seed(pytester: pytest.Pytester) -> None:
    """Each seed is a test of its own: a function's fixtures are new, those of wider scopes stay."""
    pytester.makepyfile(
        """
        import pytest

        log = []

        @pytest.fixture(scope="module")
        def wide():
            log.append("module")
            yield
            log.append("module ends")

        @pytest.fixture
        def narrow(wide):
            log.append("function")
            yield []
            log.append("function ends")

        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.virtual(seeds=3)
        async def test_many(narrow, number):
            assert narrow == []
            narrow.append(number)

        def test_log(narrow):
            assert log == ["module", *["function", "function ends"] * 6, "function"]
        """,
        test_zzz="""
        import test_fixtures_are_made_anew_for_each_seed as other

        def test_the_end():
            assert other.log[-1] == "module ends"
        """,
    )
    run_pytest(pytester).assert_outcomes(passed=4)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_after_a_failure_no_seed_follows(pytester: pytest.Pytester, bad: int) -> None:
    """The first seed that fails is the last, and what it leaves of fixtures is cleaned up."""
    pytester.makepyfile(
        test_a=f"""
        import pytest

        log = []

        @pytest.fixture(scope="module")
        def wide():
            yield
            log.append("module ends")

        @pytest.fixture
        def narrow(wide):
            yield
            log.append("function ends")

        @pytest.mark.virtual(seeds=3)
        async def test_many(narrow):
            assert len(log) != {bad}
        """,
        test_b=f"""
        import test_a

        def test_log():
            assert test_a.log == ["function ends"] * {bad + 1} + ["module ends"]
        """,
    )
    result = run_pytest(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"seed {bad}; *"])


@pytest.mark.parametrize("when", ["setup", "teardown"])
def test_a_fixture_that_fails_under_one_seed_is_an_error(
    pytester: pytest.Pytester, when: str
) -> None:
    """What a fixture does counts under each seed, and the next test finds all in order."""
    pytester.makepyfile(
        f"""
        import pytest

        log = []

        @pytest.fixture
        def shaky():
            log.append("setup")
            assert len(log) != 3 or "{when}" != "setup"
            yield
            log.append("teardown")
            assert len(log) != 2 or "{when}" != "teardown"

        @pytest.mark.virtual(seeds=3)
        async def test_many(shaky): pass

        def test_next(): pass
        """
    )
    passed = 1 if when == "setup" else 2
    run_pytest(pytester).assert_outcomes(passed=passed, errors=1)


def test_a_test_is_one_test_however_many_seeds(pytester: pytest.Pytester) -> None:
    """There is one report of it, whose duration is that of all runs."""
    pytester.makepyfile(
        """
        import pytest, time

        @pytest.mark.virtual(seeds=10)
        async def test_many():
            time.sleep(0.02)
        """
    )
    result = run_pytest(pytester, "--durations=1")
    result.assert_outcomes(passed=1)
    [line] = [line for line in result.outlines if "call" in line]
    assert float(line.split("s")[0]) >= 0.2


def test_a_marker_that_makes_no_sense_fails_the_test(pytester: pytest.Pytester) -> None:
    """`seeds=0` would pass without running; `seed` and `seeds` are two questions; a typo is one."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.virtual(seeds=0)
        async def test_nothing(): pass

        @pytest.mark.virtual(seed=1, seeds=2)
        async def test_both(): pass

        @pytest.mark.virtual(sedes=3)
        async def test_typo(): pass
        """
    )
    result = run_pytest(pytester)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "*seeds=0 would run the test not once; give 1 or more*",
            "*seed=1 and seeds=2: give `seed` to pin one order, or `seeds` to try many*",
            "*unexpected keyword argument 'sedes'*",
        ]
    )


def test_a_skip_is_a_skip(pytester: pytest.Pytester) -> None:
    """`pytest.skip` inside the test works under seeds too."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.virtual(seeds=3)
        async def test_skip(): pytest.skip("not today")
        """
    )
    run_pytest(pytester).assert_outcomes(skipped=1)


def test_a_leaked_task_fails_the_test(pytester: pytest.Pytester) -> None:
    """A task that still runs when the test returns is named in the report."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import asyncio

        async def test_leak():
            global task
            task = asyncio.create_task(asyncio.sleep(60), name="sleeper")
        """
    )
    result = run_pytest(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Leaked: still running at the end*", "*sleeper waits *"])


def test_an_unclosed_generator_fails_the_test(pytester: pytest.Pytester) -> None:
    """A generator left half-way fails the test, unless the marker allows it."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import pytest

        async def count():
            yield 1

        async def test_left():
            async for _ in count():
                break

        @pytest.mark.virtual(allow_unclosed=True)
        async def test_allowed():
            async for _ in count():
                break
        """
    )
    result = run_pytest(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*async generator 'count' (*) was never closed*"])


def test_a_deadlock_fails_the_test(pytester: pytest.Pytester) -> None:
    """A test that waits for ever fails at once, and the report says where it waits."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import asyncio

        async def test_stuck():
            await asyncio.Event().wait()
        """
    )
    result = run_pytest(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*Deadlock: *", "*Task-1 waits for Event.wait of *", "*:4 in test_stuck", "*in Event.wait"]
    )


def test_hypothesis_runs_each_example_on_a_fresh_loop(pytester: pytest.Pytester) -> None:
    """`@given` on an async test works, and time starts at 0.0 for each example."""
    pytester.makeini(VIRTUAL)
    pytester.makepyfile(
        """
        import asyncio
        from hypothesis import given, settings, strategies as st
        import pytest

        examples = []

        @pytest.mark.parametrize("start", [1, 2])
        @settings(max_examples=10, database=None)
        @given(delay=st.integers(0, 1000))
        async def test_sleep(start, delay):
            await asyncio.sleep(start + delay)
            assert asyncio.get_running_loop().time() == start + delay
            examples.append(start)

        def test_examples():
            assert examples.count(1) > 1
            assert examples.count(2) > 1

        @given(delay=st.integers(0, 1000))
        def test_plain(delay):
            assert delay >= 0
        """
    )
    run_pytest(pytester, "-p", "no:cacheprovider").assert_outcomes(passed=4)


SEARCH = """
    import asyncio
    from hypothesis import given, settings, strategies as st
    import pytest

    async def race(count):
        seen = []
        async def runner(index):
            await asyncio.sleep(1)
            seen.append(index)
        await asyncio.gather(*map(runner, range(count)))
        return seen

    class TestRaces:
        @pytest.mark.virtual(seeds=10)
        @settings(database=DATABASE, max_examples=50)
        @given(count=st.integers(0, 9))
        async def test_order(self, count):
            counts.append(count)
            assert count < 4 or (await race(count))[0] != 1

    counts = []
"""


@pytest.mark.parametrize(
    ("database", "options"),
    [
        ("None", ()),
        ("DirectoryBasedExampleDatabase('db')", ()),
        ("None", ("--vivace-seeds=15", "--hypothesis-seed=7")),
    ],
    ids=["searched", "kept", "given"],
)
def test_what_hypothesis_found_is_found_again(
    pytester: pytest.Pytester, database: str, options: tuple[str, ...]
) -> None:
    """The command in the report finds the same example, smallest under the same seed."""
    text = "from hypothesis.database import *\n" + dedent(SEARCH).replace("DATABASE", database)
    pytester.makepyfile(test_search=text)

    def found(*args: str) -> tuple[str, str, str]:
        result = run_pytest(pytester, "-p", "_hypothesis_pytestplugin", *args)
        result.assert_outcomes(failed=1)
        [line] = [line for line in result.outlines if line.startswith("seed ")]
        # pytest may show it twice, in the report and in the summary; it is the same one.
        [example] = {
            line.lstrip("E ") for line in result.outlines if line.lstrip("E ").startswith("count=")
        }
        seed, command = line.split("; to run it again: pytest ")
        return seed, example, command

    seed, example, command = found(*options)
    again = found(*shlex.split(command))
    assert again[:2] == (seed, example)


def test_seeds_share_the_examples_of_hypothesis(pytester: pytest.Pytester) -> None:
    """Ten seeds need no ten times as many examples; but each gets ten, if there are so many."""
    text = dedent(SEARCH).replace("DATABASE", "None").replace("< 4", "< 1000")
    text += "def test_counts():\n    assert 50 <= len(counts) <= 100\n"
    pytester.makepyfile(text)
    run_pytest(pytester).assert_outcomes(passed=2)


@pytest.mark.real
@pytest.mark.parametrize("dist", ["load", "loadgroup"])
def test_the_command_is_right_under_xdist(pytester: pytest.Pytester, dist: str) -> None:
    """Also from another directory, with odd names, and where xdist adds a group to the test."""
    folder = pytester.mkdir("tests")
    (folder / "test_race.py").write_text(
        dedent(RACE)
        + dedent("""
        @pytest.mark.virtual(seeds=50)
        @pytest.mark.xdist_group("a group")
        @pytest.mark.parametrize("name", ["it's odd"])
        async def test_order(name):
            assert (await race())[0] == 0
        """)
    )
    (pytester.path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group: a group\n")
    pytester.mkdir("here")
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patch:
        patch.chdir(pytester.path / "here")
        result = run_pytest(
            pytester, "-p", "xdist.plugin", "-n1", f"--dist={dist}", "../tests", "--rootdir=.."
        )
        result.assert_outcomes(failed=1)
        [line] = [line for line in result.outlines if line.startswith("seed ")]
        command = shlex.split(line)[shlex.split(line).index("pytest") :]
        assert command[1] == "../tests/test_race.py::test_order[it's odd]"
        run_pytest(pytester, *command[1:]).assert_outcomes(failed=1)


def test_tests_of_another_plugin_are_left_to_it(pytester: pytest.Pytester) -> None:
    """A test marked for asyncio, anyio or trio is not ours, whatever the option says."""
    pytester.makeini(
        VIRTUAL + "markers =\n    asyncio: others\n    anyio: others\n    trio: others\n"
    )
    pytester.makeconftest(
        """
        def pytest_pyfunc_call(pyfuncitem):
            if not pyfuncitem.get_closest_marker("virtual"):
                return True  # as if another plugin had run it
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.asyncio
        async def test_asyncio():
            raise AssertionError

        @pytest.mark.anyio
        async def test_anyio():
            raise AssertionError

        @pytest.mark.trio
        async def test_trio():
            raise AssertionError

        @pytest.mark.virtual
        async def test_ours():
            raise AssertionError
        """
    )
    run_pytest(pytester).assert_outcomes(passed=3, failed=1)


def test_the_marker_wins_over_a_plugin_that_marks_all(pytester: pytest.Pytester) -> None:
    """In pytest-asyncio's auto mode all async tests are wrapped; `virtual` still counts."""
    pytester.makeconftest(
        """
        import functools
        import pytest

        def pytest_configure(config):
            config.addinivalue_line("markers", "asyncio: as pytest-asyncio has it")

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.asyncio)
                item.obj = wrap(item.obj)

        def wrap(test):
            @functools.wraps(test)
            def on_a_real_loop(*args, **kwargs): raise AssertionError
            return on_a_real_loop
        """
    )
    pytester.makepyfile("import pytest\npytestmark = pytest.mark.virtual\n" + dedent(TELLS_TIME))
    run_pytest(pytester).assert_outcomes(passed=1)


@pytest.mark.real
def test_the_plugin_imports_nothing_of_vivace() -> None:
    """Loading the plugin loads no module of vivace but its own packages."""
    code = """if True:
        import sys, pytest, vivace
        before = set(sys.modules)
        import vivace.testing.plugin
        print(*sorted(set(sys.modules) - before))
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["vivace.testing", "vivace.testing.plugin"]
