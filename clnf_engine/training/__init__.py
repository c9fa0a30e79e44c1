"""Training of CLNF models: annotated faces to a PDM, CCNF patch experts, their confidences, and an evaluation."""
