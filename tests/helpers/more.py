"""Which tests `make test` leaves to `make test-more`, and why: the one place where that is decided.

A key is the beginning of a test's id, without `tests/`. `keep` are the parameters that `make test` has of it all the same.
Both commands together run every test; a plain `pytest` does, too.
"""

import argparse
import zlib
from dataclasses import dataclass
from typing import TypeVar

import pytest

from tests.helpers.fixture_groups import group_of
from tests.helpers.places import ROOT

T = TypeVar("T")  # of a test's parameter


@dataclass(frozen=True)
class More:
    reason: str
    keep: tuple[str, ...] = ()


_ALIKE = "one subject more of the same kind, each judged or compared anew; some of each kind stay"
_COMPARED = "each compares a module with all mutants on 40 cases, 2 to 7 seconds"
_SESSION = "a session of pytest in a process of its own, which imports torch; others of the file stay"
MORE = {
    "bugs/test_diagnosis.py::test_the_cause_is_confirmed_or_none_is_made_up": More(
        _COMPARED,
        ("wrong/dropout_in_eval.py",),
        # and in other tests wrong/scale_d_model.py, and the reference for what is right
    ),
    **{
        f"bugs/test_diagnosis.py::{test}": More(_COMPARED)
        for test in ("test_a_state_that_changes_by_other_numbers", "test_what_is_known_of_one_size_only",
                     "test_cases_of_its_own_are_compared", "test_a_constant_is_taken_from_the_source",
                     "test_another_bug_that_only_fully_masked_rows_show")
    },
    "bugs/test_foreign_causes.py::test_the_cause_of_a_foreign_module": More(
        _COMPARED, ("wrong_length_in_root.py", "two_slips.py")
    ),
    "bugs/test_crossed_bugs.py::test_it_is_named": More(_COMPARED),
    "bugs/test_crossed_formulas.py::test_a_crossed_formula_agrees": More(
        "each compares two classes under one formula in 40 cases; all features at once stay, and each by itself"
    ),
    "bugs/test_declared_qk_norm.py::test_the_diagnosis_finds_nothing_in_the_right_ones": More(_COMPARED),
    "bugs/test_declared_bias_table.py::test_the_right_ones_hold": More(
        "judges two modules by 60 properties; both are compared with the oracle in make test"
    ),
    "bugs/test_declared_clipped_table.py::test_the_right_ones_hold": More(
        "judges two modules by 60 properties; both are compared with the oracle in make test"
    ),
    "introspect/readings/formula/test_window_tables.py::test_a_wrong_one_is_violated_under_it": More(
        "each is judged by a dozen properties in modules that are built for each window, half a minute", ("RowsForColumns",)
    ),
    "introspect/readings/formula/test_window_tables.py::test_a_module_that_takes_any_length_is_not_built_for_windows": More(
        "a whole verdict of a module that is built for each window, half a minute; others of the file are asked about"
    ),
    "introspect/readings/test_qk_norm.py::test_a_bug_is_named_under_any_formula_that_normalises": More(_COMPARED),
    "introspect/readings/test_maps_of_features.py::test_attention_along_some_axes_is_a_question_and_holds_as_declared": More(
        _ALIKE, ("EachFrame-declaration0-Voxels",)
    ),
    "introspect/readings/test_maps_of_features.py::test_maps_are_read_and_hold": More(
        _ALIKE, ("Voxels-BCDHW", "TwoPictures-BCHW")
    ),
    "introspect/readings/mistakes/test_plain_mistakes.py::test_a_mistake_is_known_and_the_module_is_judged": More(
        _ALIKE, ("the softmax runs over the heads", "scores are not scaled")
    ),
    "introspect/readings/test_public_calls.py::test_it_is_read_and_right": More(_ALIKE, ("OneLength", "OptionalKeys")),
    "introspect/readings/test_public_calls.py::test_no_reading_explains_a_bug_away": More(
        _ALIKE, ("NeedsItsMaskAndHidesOneKeyLess", "OptionalKeysAndKeysForValues")
    ),
    "introspect/readings/formula/test_rotary_tables.py::test_a_question_has_the_layout_and_key_heads_that_fit": More(
        _ALIKE, ("WithoutSamples-declaration0", "Tiled-declaration3")
    ),
    "introspect/calls/test_pictures_and_tokens.py::test_bugs_between_pictures_and_tokens_are_found": More(
        _ALIKE, ("ColumnsForRows", "MaskUnread")
    ),
    "introspect/surroundings/test_gates.py::test_what_is_around_is_left_out_and_named": More(
        _ALIKE, ("Scaled-left0", "GateOfTheQuery-left3", "Fused-left5")
    ),
    "introspect/surroundings/test_gates.py::test_bugs_inside_are_found": More(_ALIKE, ("GateOverQueries", "PixelsTurned")),
    "introspect/surroundings/test_without_out.py::test_what_is_around_the_heads_is_left_out": More(
        _ALIKE, ("NormInFront", "NormBehind")
    ),
    "introspect/surroundings/test_without_out.py::test_a_bug_inside_stays": More(
        _ALIKE, ("NormInFrontUnscaled", "NormThenSumScrambled")
    ),
    "introspect/surroundings/test_activations.py::test_a_bug_next_to_them_stays": More(
        _ALIKE, ("RectifiedUnscaled-declared0",)
    ),
    "introspect/surroundings/test_pooling.py::test_right_ones_hold": More(_ALIKE, ("Recogniser",)),
    "introspect/surroundings/test_pooling.py::test_wrong_ones_are_violated": More(_ALIKE, ("RecogniserUnscaled",)),
    "bench/measure/test_correctness.py::test_narrow_heads_hide_no_lost_key": More(
        "one format or shape more, each of many heads; one of each bug stays",
        ("LosesTheLastKey-many heads-float32", "LosesAKeyOfEachBlock-1x300x2x32-float16"),
    ),
    "bench/measure/test_paired_timing.py::TestExceptions::test_one_that_raises_leaves_the_others_as_they_are": More(
        "each times subjects in processes of their own; the first, a later and the last call stay",
        ("names0-1", "names1-0", "names2-9"),
    ),
    "judge/test_verification.py::test_a_function_on_heads_may_add_its_mask": More(
        _ALIKE, ("added-failed0", "added_upside_down-failed2")
    ),
    "commands/test_cli.py::test_a_subject_that_kills_the_process_is_violated_and_the_rest_goes_on": More(
        _ALIKE, ("dies_by_signal.py-the process was killed by SIGSEGV in a call",)
    ),
    "judge/test_decorators.py::test_last_failed_and_xdist_run_the_same_tests": More(
        "three sessions of pytest, one of them on two processes; what one session does stays"
    ),
    "run/test_fork_server.py::test_a_forked_process_is_as_one_that_is_started_anew": More(
        "imports torch anew; a shared server stays", ("shared",)
    ),
    "bench/compare/test_unchanged_code.py::test_words_and_tests_are_not_slower_after_one_round": More(
        "times two commits; what counts as unchanged stays"
    ),
    "bugs/test_mutants.py::test_right_variants_are_left_alone": More(
        "judges 26 modules by half of the properties; the control of test_no_vacuous_property.py stays"
    ),
    "bugs/test_declared_mutants.py::test_the_feature_done_right_holds": More(
        "each is judged by 40 properties; one of each kind stays",
        ("right_formula:CausalWindow",),
    ),
    "bugs/test_declared_scores.py::test_the_feature_done_right_holds": More(
        "each is judged by 40 properties; each is compared with the oracle in make test"
    ),
    **{
        f"bugs/test_declared_{file}.py::test_another_property_finds_it": More("one property that finds each bug stays")
        for file in ("mutants", "scores", "qk_norm", "lse", "bias_table", "clipped_table", "fill")
    },
    **{
        f"bugs/test_declared_{file}.py::test_it_is_found": More(
            "one pair for each mutant; test_no_vacuous_property.py has one for each property in make test"
        )
        for file in ("mutants", "scores", "qk_norm", "bias_table", "clipped_table")
    },
    "bugs/test_declared_qk_norm.py::test_the_feature_done_right_holds": More(
        "each is judged by 40 properties; each is compared with the oracle in make test"
    ),
    "bugs/test_declared_qk_norm.py::test_the_diagnosis_names_it": More(_COMPARED),
    "bugs/test_declared_lse.py::test_the_diagnosis_names_it": More(_COMPARED),
    "bugs/test_declared_bias_table.py::test_the_diagnosis_names_it": More(_COMPARED),
    "bugs/test_declared_clipped_table.py::test_the_diagnosis_names_it": More(_COMPARED),
    "bugs/test_declared_mutants.py::test_the_diagnosis_names_a_bug_of_rotary_positions": More(_COMPARED),
    "bugs/test_declared_mutants.py::test_the_diagnosis_names_a_bug_of_shared_heads": More(_COMPARED, ("GroupsInterleaved",)),
    "bugs/test_diagnosis.py::test_what_is_judged_in_a_half_format": More(
        _COMPARED, ("half at most",)
    ),
    "bugs/test_declared_scores.py::test_the_diagnosis_names_it": More(
        _COMPARED,
        ("BiasScaledWithScores",),
    ),
    "bugs/test_declared_scores.py::test_a_cap_after_the_mask_is_named": More(_COMPARED),
    "bugs/test_declared_scores.py::test_the_diagnosis_finds_nothing_in_the_right_ones": More(
        _COMPARED, ("alibi:Alibi", "sinks:Sinking")
    ),
    "bugs/test_declared_bias_table.py::test_the_diagnosis_finds_nothing_in_a_right_one": More(_COMPARED),
    "bugs/test_declared_clipped_table.py::test_the_diagnosis_finds_nothing_in_a_right_one": More(_COMPARED, ("Clipped",)),
    "bugs/test_mutants.py::test_it_is_found": More(
        "one pair for each mutant; test_no_vacuous_property.py has one for each property, half as many, in make test"
    ),
    "introspect/surroundings/test_find_surroundings.py::test_the_attention_inside_is_judged_and_the_rest_is_named": More(
        _ALIKE, ("NormBeforeAndResidual", "Block")
    ),
    "introspect/test_returned_values.py::test_output_and_weights_of_a_module_are_judged_wherever_they_are": More(
        _ALIKE, ("usual", "weights first", "dictionary")
    ),
    "bench/measure/test_counting.py::TestInstructions::test_they_are_those_of_one_execution": More(
        "valgrind imports torch for a minute, with MHSA_TEST_VALGRIND=1; what is done without it, and when it fails, stays"
    ),
    "introspect/surroundings/test_several_attentions.py::test_each_attention_of_a_right_layer_holds": More(
        _ALIKE, ("self_attention-Decoder",)
    ),
    "introspect/surroundings/test_several_attentions.py::test_a_bug_in_one_of_them_is_found_there_alone": More(
        _ALIKE, ("MasksOfTheTarget",)
    ),
    "introspect/readings/test_other_lengths.py::test_one_query_for_each_sample_is_given_alone": More(
        _ALIKE, ("OneQuery",)
    ),
    "introspect/readings/test_learned_queries.py::test_the_parameter_is_the_query": More(_ALIKE, ("Masked",)),
    "introspect/readings/test_other_conventions.py::test_interleaved_heads_explain_no_other_bug": More(
        "judges wrong modules; that interleaved heads hold only as declared stays"
    ),
    "introspect/readings/test_compiled_modules.py::test_a_compiled_module_is_read_and_judged": More(
        "torch.compile takes seconds for each shape"
    ),
    "introspect/test_options_of_functions.py::test_scripts_give_the_options_too": More(
        "starts a script for each function; what a script writes stays in judge/test_standalone_script.py"
    ),
    "judge/test_plugin.py::test_that_test_can_fail": More(_SESSION),
    "judge/test_plugin.py::test_a_warning_is_no_verdict": More(_SESSION),
    "subject/test_required_mask_forms.py::test_what_nobody_promised_is_no_violation": More(
        "judges several modules; that a form that is taken in part is a violation is in other tests of the file"
    ),
    "run/test_interrupted_runs.py::test_a_comparison_that_is_stopped_leaves_no_process_and_no_commit": More(
        "starts a comparison and stops it; runs of mhsa verify that are stopped stay"
    ),
    "bugs/test_power.py::test_one_mutant_is_measured_at_once": More("judges by all properties and other tools"),
    "bugs/test_declared_lse.py::test_the_right_ones_hold": More("judges two modules; compared with the oracle in make test"),
    "bugs/test_declared_fill.py::test_the_right_ones_hold": More("judges two modules; readings/masks/test_fill.py stays"),
    "bugs/test_declared_mutants.py::test_the_diagnosis_names_a_bug_of_the_declared_formula": More(_COMPARED),
    "house/test_documents.py::test_the_sample_of_the_bench": More("mhsa bench end to end; commands/test_bench.py stays"),
    "house/test_language_models.py::test_a_bug_in_each_is_violated": More("that they agree with the oracle stays"),
    "introspect/readings/masks/test_fill.py::test_it_is_a_question_and_holds_as_declared": More(
        _ALIKE, ("Filled-masks.masked_keys_stay_masked_below_every_score--10000.0",)
    ),
    **{
        f"introspect/readings/test_other_lengths.py::{test}": More(_ALIKE)
        for test in ("test_samples_in_two_axes_are_read", "test_equal_lengths_explain_no_bug_away",
                     "test_a_row_of_pixels_explains_no_bug")
    },
    "introspect/readings/masks/test_query_mask.py::test_it_explains_no_bug_away": More(_ALIKE),
    "introspect/readings/masks/test_stated_empty_rows.py::test_a_promise_is_judged": More(
        _ALIKE, ("Rows without any key give zeros.--1e9-violated-[B, Tk]",)
    ),
    "introspect/readings/formula/test_masks_of_both_kinds.py::test_what_is_said_of_floats_is_judged": More(
        _ALIKE,
        ("True may be attended to; a float mask is added to the scores.-s.masked_fill(~attn_mask.bool(), -1e9)-violated-True",),

    ),
    "introspect/readings/test_maps_of_features.py::test_a_mask_of_frames": More(_ALIKE),
    "introspect/readings/test_public_code.py::test_no_reading_explains_a_bug_away": More(
        _ALIKE, ("FrozenScaleOfAllHeads", "WithACoreAndKeysForValues")
    ),
    "introspect/readings/test_other_lengths.py::test_places_are_counted_with_equal_lengths_alone": More(_ALIKE),
    "judge/test_plugin.py::test_it_lives_beside_tests_and_packages_of_the_same_names": More(_SESSION),
    "judge/test_decorators.py::test_there_is_a_test_for_each_subject_and_property": More(_SESSION),
    "judge/test_verification.py::TestThreads::test_properties_that_pytest_runs_itself_do_so_too": More(_SESSION),
    "reference/test_fused_core.py::test_it_holds_every_property": More(
        "judged by all properties in every dtype; its output and gradients are compared with the oracle in make test"
    ),
    "judge/test_verification.py::test_a_contract_may_be_given_whole_or_by_its_fields": More(
        "each of four subjects with each of two contracts; each of both stays",
        ("Blocked-contract0", "subject1-contract1"),
    ),
    "introspect/readings/formula/test_window_tables.py::test_a_right_one_holds_under_it": More(
        "builds modules for each window, half a minute; a wrong one of the kind stays", ("OfAWindow",)
    ),
    "subject/test_numpy_classes.py::test_tuples_are_replaced_by_tuples_of_its_arrays": More(_ALIKE, ("within", "next_to")),
    "subject/test_numpy_classes.py::test_bugs_in_a_class_of_batches_are_found": More(_ALIKE, ("state_kept",)),
    "introspect/test_unjudged_outputs.py::test_weights_in_another_form_are_named_and_not_called_wrong": More(
        _ALIKE,
        ("Usual-", "HeadsFirst-weights in attn: shape [H, B, Tq, Tk]", "ReturnedHeadsFirst-",
         "ReturnedAveraged-weights returned: shape [B, Tq, Tk], the mean over heads",
         "ReturnedCache-value 2 of 2 returned: a tuple"),
    ),
    "introspect/test_given_weights.py::test_right_ones_hold_and_wrong_ones_do_not": More(
        _ALIKE, ("text0-q.size(-1) ** 0.5-x.size(-1) ** 0.5", "text2-scores = scores.masked-scores.masked")
    ),
    "reference/test_formulas.py::test_the_fused_core_is_the_exact_one": More(
        "one formula more; all features at once stay, with the dropout of each kernel",
        ("everything-0.0", "everything-0.4", "rotary_window_sinks_grouped-0.0", "scaled_window-0.4", "alibi_causal-0.4",
         "capped_bias-0.0", "softcap_sinks_causal-0.4", "bias_without_scale-0.0"),
    ),
    "oracle/test_qk_norm.py::test_a_normalised_feature_is_within_its_bound": More(
        "another epsilon, or no mean; those of public models stay",
        tuple(
            f"QkNorm(kind='{kind}', eps={eps}, over='head', gain='weight', place='before-rotary')-{dtype}"
            for kind, eps in (("rms", "None"), ("rms", "'dtype'"), ("layer", "None"))
            for dtype in ("float64", "float32", "bfloat16", "float16")
        ),
    ),
    "judge/test_standalone_script.py::test_a_script_gives_a_function_its_mask_in_the_form_that_it_takes": More(
        _ALIKE, ("added-additive",)
    ),
    "introspect/projections/test_discover.py::test_a_right_module_holds_and_one_without_its_scale_does_not": More(
        "each is judged by 40 properties, 2 to 4 seconds; how projections are found stays in the other tests of the file"
    ),
    "oracle/test_peers_vectors.py::test_torchs_own_samples_agree": More(
        "torch's internal tests take 5 seconds to import; samples of their shapes and onnx's cases stay"
    ),
    "properties/test_corpus.py::test_right_modules_hold": More(
        "each is judged by all properties, 5 to 10 seconds; the reference is in make test"
    ),
    "properties/test_corpus.py::test_a_missing_refusal_is_found": More(
        "judged by all properties; test_no_vacuous_property.py has a width that is not refused, and four right modules stay"
    ),
    "properties/test_corpus.py::test_wrong_modules_are_violated": More(
        _ALIKE, ("scale_d_model.py", "polarity_inverted.py", "wrong_beyond_64.py", "dropout_in_eval.py"),
    ),
    "properties/test_foreign_styles.py::test_it_is_violated": More(
        _ALIKE, ("additive_minus_ten.py:make", "two_slips.py", "mask_along_queries.py"),
    ),
    "properties/test_foreign_styles.py::test_verify_names_no_bug": More("a run by all properties; one with a cause stays"),
    "properties/test_foreign_styles.py::test_diagnose_has_nothing": More("a run by all properties; the whole story stays"),
    "properties/test_census.py::test_the_bug_is_found": More(
        _ALIKE, ("no_maximum.py", "stale_causal_cache.py", "softmax_dim_zero.py:make"),
    ),
    "properties/test_numbers_in_masks.py::test_nothing_else_is_asked": More(
        "one right module more, judged by seven properties, 2 to 5 seconds; right modules of each kind are in the corpus"
    ),
    "commands/test_cli.py::test_half_formats_hold_when_asked_for": More("two runs by all properties"),
    "commands/test_cli.py::test_workers_find_the_same": More("two runs, one of them on two processes"),
    "commands/test_cli.py::test_a_subject_that_kills_workers_never_holds": More(
        "each worker that dies is followed by one that imports torch; what kills a run on one process stays"
    ),
    "introspect/readings/test_qk_norm.py::test_three_lines_are_enough": More(
        "judges three modules; each is compared with the oracle in make test, and bugs of the kind are found there"
    ),
    "commands/test_bench_unmeasured.py": More(
        "mhsa bench end to end; test_bench.py and bench/measure/test_correctness.py have the same rules",
        ("test_a_wrong_gradient_is_seen_in_training_only",),
    ),
    **{
        f"commands/test_compare.py::{test}": More("compares two commits end to end; others of the file stay")
        for test in ("test_a_subject_that_fails_when_it_is_called_at_base", "test_what_is_wrong_at_both",
                     "test_a_shape_that_is_named_twice")
    },
    "commands/test_record.py::test_where_nothing_is_recorded": More("runs a script of a user; one such run stays"),
    "commands/test_compare.py::test_both_are_verified_first": More("verifies two commits end to end"),
    "commands/test_compare.py::test_a_head_that_keeps_its_answers_is_suspect": More(
        "measures two commits end to end; bench/measure/test_cheats.py has such a module"
    ),
    "bench/measure/test_cheats.py::test_it_is_never_timed_and_named": More(
        "each is a run of mhsa bench, 10 seconds; what is refused before, while and after it is timed stays, one of each",
        ("memoized_by_version", "garbage_after_some_calls"),
    ),
    "bench/measure/test_no_false_suspicion.py::test_right_modules": More(
        "each is understood and checked before and after it is timed, 2 to 10 seconds; what comes with mhsa stays, and some",
        ("einsum_parameters.py", "packed_projection.py", "torch.nn.functional:scaled_dot_product_attention"),
    ),
    **{
        f"commands/test_accept.py::{test}": More(
            "times two commits end to end, and twice; with injected times it is in bench/compare/accepted and test_rounds.py"
        )
        for test in ("test_a_slow_down_is_accepted_once", "test_what_base_has_accepted")
    },
    "bench/measure/test_no_false_suspicion.py::test_what_comes_with_mhsa": More(
        "one format more; one of each stays", ("reference-float32", "fused-bfloat16", "torch-float64")
    ),
    **{
        f"commands/test_accept.py::{test}": More("compares two commits end to end; others of the file stay")
        for test in ("test_a_line_in_a_message_does_the_same", "test_a_file_that_git_ignores_is_told")
    },
    "commands/test_history_of_a_repository.py": More("measures a repository of several commits; test_history.py stays"),
    **{
        f"commands/test_bench.py::TestSurvival::{test}": More(
            "mhsa bench with subjects that end their process, 25 seconds; run/test_hostile_subjects.py has such subjects"
        )
        for test in ("test_every_one_has_one_result_everywhere", "test_the_reasons_are_said")
    },
    "reports/test_html_page.py::test_it_fits_and_can_be_read": More(
        "one width of a window more; the narrowest in one theme and a wide one in the other stay", ("360-light", "1400-dark")
    ),
    "bench/report/test_every_report.py::test_the_page_fits_and_can_be_read": More(
        "one width of a window more", ("360-light", "1600-dark")
    ),
    "commands/test_compare.py::test_more_memory": More("times two commits end to end; a wrong commit and the rounds stay"),
    "commands/test_compare.py::test_a_slower_commit": More("times two commits end to end; a wrong commit and the rounds stay"),
    "bench/compare/self_testing/test_self_test_runs.py::test_a_run_": More("self-tests end to end, as many as time allows"),
    "commands/test_history.py::test_a_killed_run_is_gone_on_with": More("two runs over several commits; one such run stays"),
    "reference/test_formulas.py::test_output_and_gradients_are_within_the_oracles_bounds": More(
        "the fused core is compared with the exact one in make test",
        ("causal_window_grouped-", "rotary_grouped_causal-", "softcap_sinks_causal-", "alibi_causal-", "scaled_window-",
         "capped_bias-", "bias_window_sinks-", "rotary_alibi_at_the_end-", "bias_without_scale-", "everything-",
         "everything-fused_"),
    ),
    "reference/test_formulas.py::test_every_property_holds": More(
        "a run by all properties; make test compares every formula with the oracle, and the fused core with the exact"
    ),
    "run/test_hostile_subjects.py::test_what_its_process_survives": More(
        _ALIKE,
        ("changes_the_default_dtype", "changes_the_grad_mode", "fakes_torch_function", "patches_torch_at_import",
         "prints_megabytes", "raises_in_the_30th_call", "recurses_without_end", "returns_nan", "returns_another_shape",
         "seeds_in_forward", "sys_exits_in_a_call"),
    ),
    "run/test_fork_server.py::test_a_subject_that_kills_the_server": More(
        "a run that starts torch anew; subjects that end their own process stay in test_hostile_subjects.py"
    ),
    "run/test_interrupted_runs.py::test_an_interrupt_while_workers_judge": More("two workers; one process stays"),
    "commands/test_cli.py::test_a_subject_that_kills_three_processes": More("three processes; one that is killed stays"),
    "records/test_damaged_files.py::test_the_engine_says_so_in_one_message": More("a run end to end; the messages stay"),
    "bench/tools/test_pytest_benchmark.py::TestDesk::test_those_that_are_compared": More(
        "a session of pytest that times; the other tests of the file stay"
    ),
    "bench/compare/test_unchanged_code.py::test_a_module_that_the_subject_imports": More(
        "times two commits; what counts as unchanged stays"
    ),
    "run/test_hostile_subjects.py::test_what_ends_its_process": More(
        "each is a run that waits for limits of time; what a process survives, and five that end it, stay",
        ("segfaults", "exits_in_a_call", "loops", "kills_its_group", "allocates"),
    ),
    "run/test_hostile_subjects.py::test_workers_that_loop": More("waits for limits of time; loops stays, on one process"),
    "house/test_documents.py::test_the_adapter_of_the_documents_holds": More("a run by all properties"),
    "bench/compare/test_rounds.py::test_what_cannot_be_loaded_twice": More("times two commits end to end"),
    "bench/compare/test_rounds.py::test_apart_on_request": More("times two commits end to end; test_unchanged_code.py stays"),
    "commands/test_cli.py::test_a_folder_with_files_called_like_libraries": More(
        "starts two processes anew; judge/test_plugin.py has such a folder, too"
    ),
    "house/test_language_models.py::test_they_hold_by_every_property": More(
        "four modules by all properties; in make test they are compared with the oracle"
    ),
    "house/test_documents.py::test_the_first_screens_figures": More("a run by all properties"),
    "house/test_documents.py::test_the_documented_tests_and_objects": More("runs of pytest; the blocks of CONTRIBUTING stay"),
    "end_to_end/": More("what a user has who installs mhsa: a wheel, a new environment, a repository with a dozen commits"),
}  # fmt: skip


def may_have(file: str) -> bool:
    """Whether a file, or one of a folder, relative to ``tests/``, may have a test of the table: most have none."""
    return any(start.partition("::")[0].startswith(file) or file.startswith(start) for start in MORE)


def mark(items: list[pytest.Item]) -> None:
    """Mark the tests of the table, so that ``-m "not more"`` leaves them out."""
    for item in items:
        identity = item.nodeid.removeprefix("tests/")
        for start, more in MORE.items():
            if identity.startswith(start) and not any(identity.endswith((f"[{k}]", f"::{k}")) for k in more.keep):
                item.add_marker(pytest.mark.more(reason=more.reason))


def part_of(text: str) -> tuple[int, int]:
    """Return which part of how many is meant by ``K/N``, K from 1 to N.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, such as 2/6")
    return int(part), int(parts)


def is_in_part(identity: str, part: tuple[int, int]) -> bool:
    """Whether a test, by its id, is in a part: each is in one, the same on every machine.

    Tests that share a fixture of their file or class are in one part, so that it is made once in all parts; but for those with
    parameters, of which a fixture judges no more than are wanted.
    """
    name = identity if "[" in identity else group_of(identity, ROOT)
    return zlib.crc32(name.encode()) % part[1] == part[0] - 1


def chosen(request: pytest.FixtureRequest, parameter: str, names: list[T]) -> list[T]:
    """Return those of ``names`` that tests of this file run with: a fixture of a file judges no others."""
    wanted = {
        item.callspec.params[parameter]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
        if parameter in item.callspec.params
    }
    return [name for name in names if name in wanted]
