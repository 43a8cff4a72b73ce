"""Continue prompts with a policy and its adapters: in this process, or by a vLLM server."""
