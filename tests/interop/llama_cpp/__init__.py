"""The server and the model that `test_llama_cpp` installs into an environment of their own."""
