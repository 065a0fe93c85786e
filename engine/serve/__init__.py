"""A resident process for the playground and the views of single tokens: it answers, scores and looks into a response on demand.

client    the other processes' side: starts it, asks it, torch-free
requests  what can be asked
needs     what a request takes of memory, torch-free
models    the networks that are loaded
replies   what is answered: `answer`, `score`, `tokens`
server    the process: HTTP on the loopback, one thread that computes, and when it ends
"""
