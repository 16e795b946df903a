"""What a training learns from: data lists, tables of scores, weak labels, pseudo labels, accepted cases."""
