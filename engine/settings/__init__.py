"""What a run can be given: one frozen model per kind of run, its hyper-parameters, and the command-line options made from them."""
