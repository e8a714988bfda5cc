"""Shell completion: click's own scripts, with two corrections that `track` and the descriptions need."""

from __future__ import annotations

from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class


class Bash(BashComplete):
    """Adds no space after `KEY=`, so that the value can be typed."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value != *= ]] || compopt -o nospace"
    )


class Zsh(ZshComplete):
    """Adds no space after `KEY=`, so that the value can be typed."""

    source_template = ZshComplete.source_template.replace(
        'completions_with_descriptions+=("$key":"$descr")',
        'completions_with_descriptions+=("$key":"$descr")\n                [[ "$key" != *= ]] || suffix=(-S "")',
    ).replace("completions_with_descriptions -U", 'completions_with_descriptions -U "${suffix[@]}"')
    source_template = source_template.replace("local -a response\n", "local -a response suffix\n")


class Fish(FishComplete):
    """Shows a description whole: click's script ends it at the first comma."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


for _shell in (Bash, Zsh, Fish):
    add_completion_class(_shell)
