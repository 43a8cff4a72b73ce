"""Mechanism that both domains of SEAL share; it knows neither.

    loop        policies, inner loops, and the outer loop of any domain: start with `rest_em`
    lora        many adapters trained side by side on one frozen model
    samplers    continue prompts, in this process or by a vLLM server
    training    finetuning on rows (M-step); small models from random weights
    models      loading, recognizing a folder, random ones for tests
    chat        chat models behind OpenAI-compatible endpoints
    report      intervals, tables, plots, several seeds together
    run, records, arguments, settings, ...    run folders, files, command lines

Importing this package costs nothing. torch and transformers are loaded by the modules that compute
with them: those of `loop`, `lora`, `samplers` and most of `models` and `training`.
"""
