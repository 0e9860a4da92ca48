"""seqlab completion: the script that completes verbs, groups, settings and options in bash."""

COMPLETION = r"""
_seqlab() {
    local verbs="prepare doctor fit train evaluate transcribe align inspect tune lm export serve compare completion"
    local word="${COMP_WORDS[COMP_CWORD]}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$verbs --help --version" -- "$word"))
        return
    fi
    local verb="${COMP_WORDS[1]}"
    case "$verb" in
        prepare|train|evaluate)
            local line="${COMP_WORDS[0]} ${COMP_LINE#*$verb }"
            local answer
            answer=$(COMP_LINE="$line" COMP_POINT=${#line} "${COMP_WORDS[0]}" "$verb" -sc query=bash 2>/dev/null)
            local typed="${COMP_LINE:0:$COMP_POINT}"
            typed="${typed##* }"
            COMPREPLY=($answer)
            if [[ "$typed" == *[=:]* && "$COMP_WORDBREAKS" == *[=:]* ]]; then
                local head="${typed%"${typed##*[=:]}"}"
                COMPREPLY=("${COMPREPLY[@]#"$head"}")
            fi
            [[ "${COMPREPLY[0]}" == *[=./] ]] && compopt -o nospace
            ;;
        transcribe)
            local transcribe="--format --output --output-dir --images --override --threads --device --backend"
            transcribe="$transcribe --resume --shard --processes --ray"
            COMPREPLY=($(compgen -f -W "$transcribe" -- "$word"))
            ;;
        align)
            local align="--text --format --output --output-dir --star --skip-unknown --plain --priors --prior-weight"
            COMPREPLY=($(compgen -f -W "$align --fit --write-priors --peakiness --threads --device" -- "$word"))
            ;;
        inspect)
            local inspect="--id --text --layer --direction --cells --start --end --reach --lines --output"
            COMPREPLY=($(compgen -f -W "$inspect --threads --device" -- "$word"))
            ;;
        doctor) COMPREPLY=($(compgen -f -W "--model --override --output --machine --json" -- "$word")) ;;
        tune)
            local tune="--lm --order --neural --neural-mode --dev --metric --beam --threads"
            COMPREPLY=($(compgen -f -W "$tune" -- "$word"))
            ;;
        fit)
            local fit="--minutes --output --dry-run --overwrite --layout --recipe --media --columns --split-by --shares"
            COMPREPLY=($(compgen -f -W "$fit --seed" -- "$word"))
            ;;
        lm)
            local lm="build convert score --order --unit --prune --closed --case --pieces --output"
            COMPREPLY=($(compgen -f -W "$lm" -- "$word"))
            ;;
        export)
            local export="--onnx --int8 --features --check --max-change --license --overwrite"
            COMPREPLY=($(compgen -f -W "$export" -- "$word"))
            ;;
        serve)
            local serve="--host --port --backend --threads --token-file --allow-host --proxies --upload-mb --seconds"
            serve="$serve --megapixels --points --queue --requests --streams --rate --timeout --idle"
            COMPREPLY=($(compgen -f -W "$serve" -- "$word"))
            ;;
        compare) COMPREPLY=($(compgen -f -W "--runs --output" -- "$word")) ;;
        completion) COMPREPLY=($(compgen -W "bash" -- "$word")) ;;
    esac
}
complete -o default -F _seqlab seqlab
"""
