"""Programs that flood a group and count what arrives: a module a library, each with the same two functions.

    send(job)       open what is needed, `job.wait_for_go()`, send all of `job.flood()`, `job.told()`
    receive(job)    open what is needed, `job.ready()`, then `job.took(messages)` for what arrives, for ever

Started as `python -m tests.bench.contenders MODULE send|receive JOB`, JOB being JSON. Peers run in an
environment of their own: these modules import the standard library and their one library only.
"""
