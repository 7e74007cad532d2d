"""The engine: artifacts and their store, fingerprints, locks, runs, configuration, components, stages, and what tracks a run.

It knows nothing of recommendation: stages and plug-ins are found by name. A new one needs no change here.
Change it only when the way artifacts are made, named or found changes; tests/faults and tests/test_pipeline.py guard it.
"""
