"""The worker process: `python -m jobs.worker`."""

from jobs.worker.worker import main

if __name__ == "__main__":
    main()
