"""No property is vacuous: each is broken by a module with one mistake, and holds for the same module without it."""

import pytest

from mhsa.bugs.mutants.registry import declared, mutants
from mhsa.records.catalogue import catalogue

# Property: a mutant that it must find.
BROKEN_BY = {
    "oracle.output_without_mask": "NotScaled",
    "oracle.output_under_masks": "MaskIgnored",
    "oracle.returned_weights": "ScoresShown",
    "gradients.gradients_of_inputs": "ScaleTwiceInBackward",
    "gradients.gradients_of_parameters": "ValueMapTrainedTwice",
    "gradients.gradients_of_long_rows": "ScaleTwiceInBackward",
    "gradients.gradients_of_scores_far_from_zero": "PaddingOverflowsInBackward",
    "gradients.everything_that_matters_receives_its_gradient": "QueryDetached",
    "gradients.masked_keys_receive_no_gradient": "GradientForEveryKey",
    "gradients.samples_receive_no_gradient_from_each_other": "GradientAcrossSamples",
    "gradients.gradient_through_the_weights": "WeightsPassNoGradient",
    "gradients.layout_of_the_incoming_gradient": "IncomingGradientTakenForContiguous",
    "gradients.derivatives_in_both_directions_agree": "ForwardModeDoubled",
    "gradients.second_derivatives": "SecondDerivativeLost",
    "dropout.the_gradient_of_the_scores_drops_the_same": "BackwardScaledByRate",
    "crafted_inputs.output_in_two_clusters": "ScaleMultiplied",
    "crafted_inputs.gradients_in_two_clusters": "ScaleTwiceInBackward",
    "crafted_inputs.every_query_picks_its_own_key": "LastKeyLost",
    "numbers.long_sequences": "Beyond64KeysLost",
    "numbers.many_heads": "Beyond5HeadsLost",
    "numbers.wide_models": "WideModelsOff",
    "numbers.large_batches": "LargeBatchesRepeated",
    "numbers.huge_scores_stay_finite": "NoMaximum",
    "numbers.values_of_zero_give_the_bias_exactly": "Residual",
    "numbers.one_key_is_answered_with_its_value_exactly": "EpsilonInSum",
    "numbers.keys_that_tie_share_alike": "PositionInScores",
    "masks.masked_weights_are_zero": "FillOfMinusFive",
    "masks.masked_keys_have_no_influence": "FillOfMinusFive",
    "masks.masked_keys_stay_masked_below_every_score": "FillOfMinusTenThousand",
    "masks.masking_is_deleting": "FillOfMinusFive",
    "masks.masked_nan_has_no_influence": "PoisonTimesZero",
    "masks.more_masked_keys_change_nothing": "FillOfMinusFive",
    "masks.allowing_everything_is_no_mask": "MaskChangesScale",
    "masks.each_sample_has_its_own_mask": "MaskOfTheFirstSample",
    "masks.every_head_is_masked": "MaskForTheFirstHead",
    "masks.all_small_masks": "FillOfMinusFive",
    "mask_forms.integers_mean_what_bools_mean": "BitsInverted",
    "mask_forms.a_floating_mask_is_one_of_two_things": "FloatMaskMultiplied",
    "mask_forms.broadcast_shapes_mean_the_same": "SharedMaskFlipped",
    "mask_forms.memory_layouts_mean_the_same": "MaskTakenForContiguous",
    "fully_masked_rows.one_fully_masked_row": "FullyMaskedRowsAreNaN",
    "fully_masked_rows.other_rows_are_unchanged": "FullyMaskedRowsSpread",
    "fully_masked_rows.a_fully_masked_sample": "FullyMaskedRowsSpread",
    "fully_masked_rows.gradients_stay_finite": "NaNRepairedTooLate",
    "weights.rows_sum_to_one": "EpsilonInSum",
    "weights.weights_lie_between_zero_and_one": "WeightsShownTooLarge",
    "weights.output_is_weights_times_values": "WeightsShownAveraged",
    "weights.log_ratios_are_score_differences": "NotScaled",
    "weights.output_lies_among_the_values": "MixTooLarge",
    "weights.equal_values_come_out_unchanged": "EpsilonInSum",
    "heads.one_head_is_single_head_attention": "OneHeadUnscaled",
    "heads.each_head_alone": "HeadsReversed",
    "heads.sum_over_heads": "OutputActivated",
    "heads.heads_may_be_permuted": "FirstHeadLouder",
    "heads.heads_do_not_see_each_other": "HeadsMixed",
    "purity.arguments_are_left_alone": "WritesIntoTheQuery",
    "purity.earlier_calls_leave_no_trace": "MaskKept",
    "purity.nothing_around_a_call_changes": "CountsCalls",
    "purity.the_same_call_gives_the_same_bits": "DropsInEval",
    "purity.what_was_handed_out_stays": "OutputMemoryUsedAgain",
    "purity.two_threads_do_not_disturb_each_other": "ScratchShared",
    "modes.train_is_eval_without_dropout": "OtherInTraining",
    "modes.eval_is_deterministic": "DropsInEval",
    "modes.gradient_modes_agree": "OtherWithoutGrad",
    "modes.asking_for_weights_changes_nothing": "OtherWithoutWeights",
    "dropout.what_is_kept_is_scaled_up": "DropoutNotMadeGood",
    "dropout.the_share_that_is_dropped": "DropsHalfAsMuch",
    "dropout.each_weight_is_dropped_by_itself": "DropsTheSameInAllHeads",
    "dropout.the_backward_pass_drops_the_same": "BackwardDropsAnew",
    "dropout.dropout_comes_back_after_eval": "DropoutGoneAfterEval",
    "layout.each_tensor_in_its_own_layout": "QueryTakenForContiguous",
    "layout.slices_of_one_tensor": "QueryTakenForContiguous",
    "edges.an_empty_batch": "EmptyBatchLost",
    "edges.no_queries": "EmptyBatchLost",
    "edges.a_single_token": "OneTokenHalved",
    "edges.sizes_that_happen_to_be_equal": "SamplesMixedIntoTokens",
    "edges.one_tensor_in_several_roles": "ValueIgnoredForSharedQuery",
    "edges.dtype_and_device_of_the_output": "AlwaysSingle",
    "causality.hidden_keys_have_no_influence": "SeesTheNextKey",
    "causality.hidden_keys_receive_no_gradient": "SeesTheNextKey",
    "causality.a_prefix_gives_the_same": "CausalForgotten",
    "causality.what_is_declared_has_an_effect": "CausalForgotten",
    "biases.output_with_a_bias": "BiasScaledWithScores",
    "biases.a_bias_hides_keys": "BiasForgotten",
    "biases.a_constant_in_a_row_changes_nothing": "BiasAfterSoftmax",
    "biases.gradient_of_the_bias": "BiasGetsNoGradient",
    "biases.the_bias_alone_is_differentiated": "BiasGetsAGradientWithTheQueryOnly",
    "biases.weights_depend_on_the_distance": "PlacesInBlocks",
    "biases.nearer_keys_weigh_more": "DistanceAdded",
    "soft_cap.weights_differ_by_no_more_than_the_cap_allows": "CapForgotten",
    "soft_cap.the_cap_comes_before_the_mask": "CappedAfterTheMask",
    "soft_cap.a_large_bias_levels_all_scores": "BiasAddedAfterTheCap",
    "sinks.weights_leave_the_share_of_the_sink": "SinkForgotten",
    "sinks.a_sink_counts_once": "SinkInEveryBlock",
    "sinks.far_sinks": "SinkForgotten",
    "sinks.a_row_without_keys_has_the_sink_alone": "FillNotBelowTheSink",
    "biases.a_bias_for_all_is_one_for_each": "BiasRepeatedInTheWrongOrder",
    "symmetry.queries_may_be_permuted": "PositionInOutput",
    "symmetry.keys_and_values_may_be_permuted": "PositionInScores",
    "symmetry.tokens_may_be_permuted": "PositionInScores",
    "symmetry.samples_may_be_permuted": "FirstSampleLouder",
    "symmetry.each_sample_is_answered_alone": "BatchCentred",
    "symmetry.each_query_is_answered_alone": "QueriesCentred",
    "algebra.linear_in_the_values": "ValuesActivated",
    "algebra.shifting_all_keys_changes_nothing": "ScoresClamped",
    "algebra.key_bias_does_not_matter": "ScoresClamped",
    "algebra.value_bias_is_a_constant": "EpsilonInSum",
    "algebra.query_and_key_features_may_be_mixed": "QueriesNormalised",
    "algebra.value_and_output_features_may_be_mixed": "ValuesActivated",
    "algebra.a_query_of_zero_averages": "PositionInScores",
    "algebra.a_long_query_picks_the_best_key": "ScoresClamped",
    "algebra.repeating_every_key_changes_nothing": "ScaleGrowsWithLength",
    "algebra.repeating_one_key_adds_to_its_logit": "ScaleGrowsWithLength",
    "algebra.equal_tokens_are_all_answered_alike": "PositionInOutput",
    "identities.query_and_key_gradient_products_match": "ScaleTwiceInBackward",
    "identities.every_mixing_of_query_features_is_undone_by_keys": "QueryGradientFlipped",
    "identities.value_and_output_gradient_products_match": "ValueGradientDoubled",
    "identities.key_bias_has_no_gradient": "KeyGradientShifted",
    "copies.parameters_changed_in_place": "OutputMapKept",
    "copies.parameters_loaded_from_a_state_dict": "GainNotSaved",
    "copies.parameters_replaced_as_attributes": "ParametersGathered",
    "copies.deep_copies": "CopySeesTheOriginal",
    "copies.pickled_copies": "PickleLosesTheScale",
    "copies.moved_to_another_dtype": "GainNotConverted",
    "transforms.compiled": "OtherInGraphs",
    "transforms.exported": "OtherInGraphs",
    "transforms.vectorised": "OtherUnderVmap",
    "transforms.called_with_other_parameters": "ParametersGathered",
    "transforms.in_autocast": "OtherInAutocast",
    "transforms.on_meta_tensors": "MetaForgotten",
    "construction.indivisible_width_is_refused": "WidthRoundedDown",
    "construction.parameters_are_those_of_four_maps": "SpareLayer",
    "construction.every_map_is_trained": "KeyMapFrozen",
    "shape_mismatch.mask_of_another_width": "MaskMadeToFit",
    "shape_mismatch.mask_of_another_batch": "MaskMadeToFit",
    "shape_mismatch.mask_of_another_query_length": "MaskMadeToFit",
    "shape_mismatch.mask_of_another_rank": "MaskMadeToFit",
    "shape_mismatch.values_that_do_not_match_the_keys": "ArgumentsMadeToFit",
    "shape_mismatch.tokens_of_another_width": "ArgumentsMadeToFit",
    "shape_mismatch.keys_of_another_batch": "ArgumentsMadeToFit",
}
CONTROL = "mhsa.bugs.mutants.right:AsItIs"
SPECS = {m.name: m.spec for m in (*mutants(), *declared())}
EVERY = [p.id for p in catalogue()]


@pytest.fixture(scope="module")
def outcomes(judge_pairs) -> dict[tuple[str, str], str]:
    """Outcome of each pair of the table, and of every property on the control."""
    wanted = {(SPECS[mutant], identity) for identity, mutant in BROKEN_BY.items()} | {(CONTROL, p) for p in EVERY}
    return judge_pairs(wanted)


def test_every_property_is_in_the_table() -> None:
    assert set(BROKEN_BY) == set(EVERY)


@pytest.mark.parametrize("identity", EVERY)
def test_a_module_with_one_mistake_breaks_it(outcomes: dict[tuple[str, str], str], identity: str) -> None:
    assert outcomes[SPECS[BROKEN_BY[identity]], identity] == "fail"


@pytest.mark.parametrize("identity", EVERY)
def test_the_module_without_mistakes_does_not(outcomes: dict[tuple[str, str], str], identity: str) -> None:
    assert outcomes[CONTROL, identity] in ("pass", "not-applicable")
