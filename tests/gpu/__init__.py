"""What CUDA computes, beside one sequence at a time on the CPU, and how fast: ./run.sh test --gpu."""
