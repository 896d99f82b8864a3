"""How much memory there is, as the kernel's files say it, and what is said and refused by it."""

import pytest

from fewlabels.commands.memory import GIB, available_bytes, demand_room, forecast
from fewlabels.errors import StorageError
from fewlabels.graph import Cost

STAGES = {"neighbors": 100.0, "solve": 19.5}


@pytest.fixture
def system(tmp_path):
    """A function that writes files of the kernel below tmp_path and says how much memory they leave."""

    def write(files):
        for name, text in ({"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"} | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return available_bytes(tmp_path)

    return write


GROUP = {"proc/self/cgroup": "0::/jobs/one\n"}


def limits(folder, limit, used, cache=0):
    return {
        f"sys/fs/cgroup{folder}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup{folder}/memory.current": f"{used}\n",
        f"sys/fs/cgroup{folder}/memory.stat": f"anon 1\ninactive_file {cache}\n",
    }


def test_without_a_control_group_it_is_what_the_system_has(system):
    assert system({}) == 4000 * 1024
    assert system(GROUP) == 4000 * 1024
    assert system(GROUP | limits("/jobs/one", "max", 5)) == 4000 * 1024


def test_a_control_group_leaves_its_limit_without_what_is_used_but_with_what_can_be_dropped(system):
    assert system(GROUP | limits("/jobs/one", 1000, 700, 50)) == 350
    assert system(GROUP | limits("/jobs/one", 1000, 1700)) == 0


def test_the_groups_above_count_too(system):
    assert system(GROUP | limits("/jobs/one", 1000, 100) | limits("/jobs", 500, 200)) == 300


def test_a_container_sees_its_own_group_at_the_top(system):
    assert system({"proc/self/cgroup": "0::/host/only\n"} | limits("", 900, 100)) == 800


def test_version_1_is_read_too(system):
    group = "sys/fs/cgroup/memory/docker/abc"
    files = {
        "proc/self/cgroup": "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n",
        f"{group}/memory.limit_in_bytes": "2000",
        f"{group}/memory.usage_in_bytes": "900",
        f"{group}/memory.stat": "total_inactive_file 100\n",
    }
    assert system(files) == 1200


def test_where_the_kernel_has_no_such_files_it_is_all_memory_of_the_machine(tmp_path):
    assert available_bytes(tmp_path) > GIB / 4


def test_this_machine_has_some():
    assert available_bytes() > 0


def test_the_forecast_says_how_long_rows_without_clusters_take_where_that_is_much_longer():
    cost = Cost(GIB, {"neighbors": 2.0})
    assert "(up to 15 seconds if the rows form no clusters)" in forecast((100_000, 64), 3, cost, None, 0, 15)
    assert "up to" not in forecast((100_000, 64), 3, cost, None, 0, 4)


def test_the_forecast_is_one_line_with_numbers():
    line = forecast((1_000_000, 128), 10, Cost(int(2.4 * GIB), STAGES), int(22.9 * GIB))
    assert line == "1,000,000 rows x 128, 10 classes: about 2.4 GiB of 22.9 GiB free, about 2 minutes"
    with_report = forecast((5, 1), 2, Cost(GIB, STAGES), None, 4.5)
    assert with_report.endswith(", then 4 seconds for the report (--no-report)")
    assert "about 2.4 GiB of memory, about" in forecast((5, 1), 2, Cost(int(2.4 * GIB), STAGES), None)


def test_what_does_not_fit_is_refused_with_both_numbers():
    cost = Cost(3 * GIB + 1, STAGES)
    demand_room(cost, 4 * GIB, "x.npy")
    demand_room(cost, None, "x.npy")
    with pytest.raises(
        StorageError, match=r"FL-G21 this needs about 3\.0 GiB .* 2\.0 GiB at x\.npy; .* 4 tries"
    ) as caught:
        demand_room(cost, 2 * GIB, "x.npy")
    assert caught.value.exit_status == 4
