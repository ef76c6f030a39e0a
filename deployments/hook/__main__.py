import argparse
import sys
from collections.abc import Callable

from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deployments.hook.errors import HookError
from deployments.hook.prefect_api import MAX_RETRIES, PrefectApi, Say
from deployments.hook.registration import register
from deployments.hook.removal import remove
from deployments.hook.settings import Settings


def wait(settings: Settings, say: Say) -> None:
    PrefectApi(settings).wait(settings.wait_seconds, say)


STEPS: dict[str, Callable[[Settings, Say], None]] = {"wait": wait, "register": register, "remove": remove}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deployments.hook", description="A hook of the chart.")
    parser.add_argument("step", choices=sorted(STEPS))
    step = parser.parse_args().step

    def say(line: str) -> None:
        sys.stdout.write(f"tls-sync {step}: {line}\n")
        sys.stdout.flush()

    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: MAX_RETRIES}):
            STEPS[step](Settings.read(), say)
    except HookError as error:
        sys.stderr.write(f"tls-sync {step} failed: {error}\n")
        return 1
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
