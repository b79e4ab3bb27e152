"""What a layer makes of its inputs and of what its attention gives: residuals, norms, a feed-forward; and of its masks."""

from mhsa.subject import check
from mhsa.subject.subject import Subject


def test_residuals_are_in_their_places(subject: Subject) -> None:
    """The layer adds nothing twice, and around each step after the first it adds what that is given; or it is as declared.

    Statement: the output of one call, to the last digits, is a sum of the layer's inputs, norms, attentions and feed-forwards
        in which no term is there twice, and the residual around a feed-forward, or around a second attention, holds every term
        of what that is given.
    Requires: something around the attention that such a formula explains, and that is not declared to be left out.
    Source: Vaswani et al. 2017, section 3.1; Xiong et al. 2020, arXiv 2002.04745, figure 1: post-norm and pre-norm.
    Breaks it: a residual in the attention and once more in the layer; the second residual taken from the attention alone.
    """
    if not subject.layer:
        check.inapplicable("needs a layer around the attention whose formula was found")
    check.start_without_tensors({"words": f"one call of the layer, {subject.layer}"})
    if subject.wrong_layer:
        check.fail(f"{subject.wrong_layer}; Contract(surroundings='left-out') leaves it out", what="layer")
    check.current().add_ratio(0.0)


def test_masks_go_to_their_attentions(subject: Subject) -> None:
    """A layer hands the mask of its own sequence to its self-attention, and that of another one to what attends to that.

    Statement: in one call with masks that all differ, no attention is given a mask whose name says that it belongs to the other
        sequence while its own reaches none, none where one is given, or one with the axes of queries and keys interchanged.
    Requires: a layer around the attention, or one in its file that is built of it, with a self-attention and one that attends
        to another sequence, and masks whose names say whose they are; or one of a single sequence with one mask.
    Source: Vaswani et al. 2017, section 3.2.3: the decoder's own tokens are masked in its self-attention alone.
    Breaks it: the mask of the target in attention to the source, where both happen to have one length.
    """
    if not subject.layers_with_masks:
        check.inapplicable("needs a layer with masks of two sequences")
    check.start_without_tensors({"words": f"one call of {', '.join(subject.layers_with_masks)} with masks"})
    if subject.wrong_masks:
        check.fail(f"{subject.wrong_masks}; Contract(surroundings='left-out') leaves it out", what="layer")
    check.current().add_ratio(0.0)
