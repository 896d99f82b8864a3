"""The catalogue of bad input: each id is a case, or has a reason why it is none. docs/reliability.md."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import (
    cases_config,
    cases_disk,
    cases_embedding_tables,
    cases_embeddings,
    cases_graph,
    cases_image_folders,
    cases_images,
    cases_label_values,
    cases_labels,
    cases_runs,
    cases_training,
)
from tests.faults.catalogue import Workplace, codes_of, demand

FAMILIES = {"L": 29, "E": 25, "I": 23, "C": 15, "K": 15, "D": 12, "G": 21, "X": 13, "W": 21}
IDS = [f"{family}{number}" for family, count in FAMILIES.items() for number in range(1, count + 1)]
MODULES = (
    cases_labels,
    cases_label_values,
    cases_embeddings,
    cases_embedding_tables,
    cases_images,
    cases_image_folders,
    cases_config,
    cases_runs,
    cases_disk,
    cases_graph,
    cases_training,
)
CASES = [case for module in MODULES for case in module.CASES]

NO_CLUSTER = "there is no Dask or Ray: work is spread over threads, and over processes of torchrun alone"
NOT_APPLICABLE = {
    "L25": "labels are classes; there are no soft labels to hand in",
    "C5": "there are no configuration files; settings are options, or Python values",
    **dict.fromkeys((f"X{number}" for number in (1, 2, 3, 4, 5, 10, 11, 12)), NO_CLUSTER),
    "X8": "nothing is decided by a clock or a name of a machine but whether a lock's holder may live (C11)",
}
TESTS = Path(__file__).parent.parent
REVIEW_TESTS = (
    *("web/test_api", "web/test_web", "web/test_writes", "web/test_process"),
    *("store/test_store", "browser/test_browser_trust"),
)
API, WEB, WRITES, PROCESS, STORE, TRUST = (f"review/{name}.py" for name in REVIEW_TESTS)
AGREEMENT = "training/test_distributed.py::test_a_process_with_other_data_settings_or_versions_says_which"
ELSEWHERE = {  # the tests that a case is, as places in tests/
    "X6": [AGREEMENT],
    "X7": [AGREEMENT],
    "X9": ["storage/test_lock.py::test_a_second_process_is_refused_with_the_first_ones_name"],
    "X13": [
        "training/test_processes.py::test_a_process_that_is_killed_ends_the_other_with_one_line_and_the_run_goes_on",
        "training/test_processes.py::test_a_process_that_is_silent_ends_the_other_after_the_timeout",
    ],
    "W1": [
        f"{WEB}::test_w1_a_host_that_is_not_exactly_ours_is_refused_before_routing",
        f"{WEB}::test_w1_two_hosts_are_none",
        f"{PROCESS}::test_w1_hosts_that_are_none_are_refused_on_the_wire",
    ],
    "W2": [
        f"{WEB}::test_w2_a_write_of_another_page_or_of_none_is_refused",
        f"{WEB}::test_w2_nothing_is_written_by_any_method_without_all_three",
    ],
    "W3": [f"{WEB}::test_w3_what_a_form_can_send_is_refused"],
    "W4": [
        f"{WEB}::test_w4_without_the_key_nothing_is_shown",
        f"{WEB}::test_w4_a_wrong_key_opens_nothing_even_with_a_good_cookie",
        f"{WEB}::test_w4_a_key_elsewhere_than_in_the_address_of_the_page_opens_nothing",
        f"{WEB}::test_w4_keys_are_random_and_compared_in_constant_time",
        f"{PROCESS}::test_w4_neither_key_nor_cookie_is_ever_logged",
    ],
    "W5": [
        f"{WEB}::test_w5_no_path_leads_to_a_file",
        f"{WEB}::test_w5_five_hundred_ways_up_lead_nowhere",
        "data/images/test_pictures.py::test_an_image_that_was_spoilt_since_the_run_is_a_bad_image",
        "data/images/test_pictures.py::test_a_folder_that_has_become_a_link_to_outside_is_not_followed",
    ],
    "W6": [f"{WEB}::test_w6_what_is_no_row_number_is_told_so", f"{WEB}::test_w6_a_row_beyond_the_last_is_not_there"],
    "W7": [
        f"{WRITES}::test_w7_a_body_that_is_not_as_agreed_writes_nothing",
        f"{WRITES}::test_w7_a_body_of_more_than_64_kb_is_refused_whether_it_says_so_or_not",
        f"{WRITES}::test_w7_eight_levels_are_allowed_and_no_more",
    ],
    "W8": [
        f"{WRITES}::test_w8_a_request_that_is_sent_twice_has_the_same_answer_and_one_row_of_history",
        f"{WRITES}::test_w8_another_request_under_the_same_number_is_refused",
    ],
    "W9": [
        f"{WRITES}::test_w9_the_second_of_two_tabs_gets_both_values_and_overwrites_nothing",
        f"{TRUST}::test_two_tabs_conflict_and_the_person_chooses",
    ],
    "W10": [f"{PROCESS}::test_w10_two_hundred_writers_at_once_are_all_served"],
    "W11": [
        "review/web/test_load.py::test_w11_a_server_that_is_killed_loses_nothing_acknowledged",
        f"{TRUST}::test_what_a_closed_tab_left_is_sent_by_the_next_one",
    ],
    "W12": [
        f"{WRITES}::test_w12_on_a_full_disk_nothing_is_acknowledged_and_the_next_answer_is_taken_when_there_is_room",
        f"{TRUST}::test_a_full_disk_is_said_and_the_answer_is_kept",
    ],
    "W13": [
        f"{WRITES}::test_w13_a_file_that_another_program_holds_is_told_and_taken_up_when_it_is_free",
        f"{WRITES}::test_w13_a_file_that_is_gone_is_told_and_nothing_is_acknowledged",
        f"{STORE}::test_a_damaged_file_is_refused_and_left_as_it_is",
        f"{STORE}::test_a_file_of_another_version_or_program_is_refused",
    ],
    "W14": [
        f"{WRITES}::test_w14_names_come_as_json_text_and_nothing_is_sniffed",
        f"{API}::test_w14_images_that_harm_their_decoder_have_a_stand_in_and_the_server_goes_on",
        f"{TRUST}::test_hostile_names_are_texts",
        "data/images/test_pictures.py::test_no_byte_of_the_file_itself_is_handed_out",
    ],
    "W15": [
        f"{WRITES}::test_w15_a_range_is_ignored",
        f"{PROCESS}::test_w15_a_head_that_does_not_end_is_not_waited_for",
        f"{PROCESS}::test_w15_a_body_that_does_not_end_is_not_waited_for",
        f"{PROCESS}::test_w15_many_silent_connections_do_not_keep_the_page_from_being_served",
    ],
    "W16": [f"{WEB}::test_w16_no_websocket_is_opened", f"{PROCESS}::test_w16_a_websocket_is_not_opened"],
    "W17": [
        f"{WEB}::test_w17_every_answer_forbids_frames_readers_of_other_origins_and_keeping",
        f"{WEB}::test_w17_a_read_with_a_foreign_origin_is_refused",
    ],
    "W18": [
        f"{PROCESS}::test_w18_a_host_that_others_can_reach_needs_to_be_understood_and_is_warned_of",
        f"{PROCESS}::test_w18_even_then_only_exact_names_of_this_machine_are_answered_to",
    ],
    "W19": [
        f"{PROCESS}::test_w19_a_second_server_of_one_review_is_refused",
        f"{PROCESS}::test_w19_a_port_that_is_taken_is_an_error_and_the_usual_port_is_only_tried",
        f"{PROCESS}::test_w19_ipv6_is_served_under_its_own_name",
    ],
    "W20": [
        f"{TRUST}::test_w20_the_back_button_neither_loses_nor_doubles_an_answer",
        f"{TRUST}::test_a_reload_keeps_what_was_not_saved_and_sends_it",
        f"{TRUST}::test_answers_without_a_network_wait_and_are_sent_once_it_is_back",
    ],
    "W21": [
        f"{API}::test_w21_an_export_has_all_answers_up_to_the_event_that_it_is_named_after",
        "review/test_items.py::test_w21_an_export_while_a_person_answers_has_all_answers_up_to_its_event_and_no_other",
    ],
}


def test_every_id_of_the_catalogue_is_a_case_or_has_its_reason_exactly_once():
    assert len(IDS) == 174
    places = Counter([*{case.id for case in CASES}, *NOT_APPLICABLE, *ELSEWHERE])
    assert sorted(places) == sorted(IDS)
    assert [id for id, count in places.items() if count != 1] == []


def test_what_is_tested_elsewhere_is_there():
    places = [place.split("::") for tests in ELSEWHERE.values() for place in tests]
    trees = {file: ast.parse((TESTS / file).read_text()) for file, _ in places}
    defined = {
        (file, node.name)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }
    assert all(ELSEWHERE.values())
    assert [(file, name) for file, name in places if (file, name) not in defined] == []


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.slow else ()) for case in CASES],
    ids=lambda case: f"{case.id} {case.what}",
)
def test_bad_input_keeps_the_contract(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    work = Workplace(tmp_path, capsys, monkeypatch)
    asked = case.do(work)
    if case.code:
        outcome = work.call(asked) if callable(asked) else work.run(asked)
        work.on_end()
        demand(case, work, outcome)
    else:
        assert asked is None
    assert codes_of(work.caught) == case.warns
