"""The flywheel: label, export, train, evaluate, gate, promote, in stages that can be resumed and skipped."""
