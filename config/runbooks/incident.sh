#!/bin/sh
# incident.sh KEYS.csv RUN_DIR [OPTION…]
#
# Stops every mass action of the list, retries passing failures, and says what the person on call has to do.
# Ends in the exit status of mass-stop. Start it again with the same arguments: it continues the run.
# The options are those of the run; a resume takes them from the run's journal.
#
# Starting this script is the confirmation: it asks no question. ZUORA_BASE_URL and the credentials are in the environment.
set -u

ROUNDS=${ROUNDS:-5} # how often a run that was cut is resumed
PAUSE=${PAUSE:-30}  # seconds before that, and between two checks of a tenant that does not answer
LOOKS=${LOOKS:-20}  # how often to check whether the tenant is back
VERIFY_AFTER=${VERIFY_AFTER:-1800} # seconds until every status is read again; 0: not at all

if [ $# -lt 2 ]; then
    echo "usage: incident.sh KEYS.csv RUN_DIR [OPTION…]" >&2
    exit 2
fi
keys=$1 run=$2
shift 2

say() { printf '%s incident: %s\n' "$(date -u +%H:%M:%SZ)" "$*" >&2; }

# A scheduler signals only this shell: pass the signal on, and wait for the report.
# In the background, because a shell acts on a signal only when no command runs in front.
child=
interrupted=
hand_on() {
    interrupted=yes
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null
}
trap 'hand_on TERM' TERM
if [ -t 0 ]; then
    trap 'interrupted=yes' INT # Ctrl-C reaches mass-stop by itself; a second signal would cut its calls
else
    trap 'hand_on INT' INT
fi

attend() { # COMMAND…: its exit status, however often a signal cuts the waiting
    "$@" </dev/null &
    child=$!
    while :; do
        wait "$child"
        status=$?
        kill -0 "$child" 2>/dev/null || break
    done
    child=
    return "$status"
}

nap() { attend sleep "$1"; }

attempt() { # a fresh run, or what is left of the one that is there
    if [ -e "$run/journal.db" ]; then
        attend mass-stop resume "$run"
    else
        attend mass-stop run "$keys" --yes --out "$run" "$@"
    fi
}

tenant_is_back() { # OPTION…: those of the run; what names the tenant or its credentials is for check as well
    left=$#
    while [ "$left" -gt 0 ]; do
        case $1 in
        --env | --base-url | --client-id | --client-secret-file | --token-file | --entity-id | --org-ids | \
            --zuora-version | --tenants | --tenant | --config)
            set -- "$@" "$1" "${2-}"
            shift && left=$((left - 1))
            ;;
        --env=* | --base-url=* | --client-id=* | --client-secret-file=* | --token-file=* | --entity-id=* | \
            --org-ids=* | --zuora-version=* | --tenants=* | --tenant=* | --config=*)
            set -- "$@" "$1"
            ;;
        esac
        shift && left=$((left - 1))
    done
    looks=$LOOKS
    while [ "$looks" -gt 0 ] && [ -z "$interrupted" ]; do
        attend mass-stop check "$@" && return 0
        looks=$((looks - 1))
        nap "$PAUSE"
    done
    return 1
}

# A limit that somebody set is not to be got round by trying again.
limit_was_set() {
    case "$* ${MASS_STOP_DEADLINE:+--deadline} ${MASS_STOP_MAX_FAILURES:+--max-failures}\
 ${MASS_STOP_MAX_FAILURES_TOTAL:+--max-failures}" in
    *--deadline* | *--max-failures*) return 0 ;;
    esac
    return 1
}

# Outcomes that a resume can still change: see the outcomes in the report's summary.
has_open_ends() {
    grep -Eq '^ *"(unconfirmed|unreachable|not_attempted)": [1-9]' "$run/report.json"
}

round=1
while :; do
    attempt "$@"
    ended=$?
    again=
    case $ended in
    0)
        say "All over. Nothing processes records any more. Report: $run/report.json"
        if [ "$VERIFY_AFTER" -gt 0 ]; then
            say "In $VERIFY_AFTER seconds every status is read again."
            nap "$VERIFY_AFTER"
            [ -z "$interrupted" ] || exit 0
            attend mass-stop verify "$run"
            ended=$?
            if [ "$ended" -eq 0 ]; then
                say "Verified: the stop holds."
            else
                say "NOT verified (status $ended): see above, and disable what starts new actions."
            fi
        fi
        ;;
    1)
        if has_open_ends; then
            again=yes
            say "Some ends were not seen."
        else
            say "Needs a person: refused, guarded or malformed keys. See 'Needs a person:' above and $run/report.json"
        fi
        ;;
    2) say "Nothing was sent in this round: the sentence above says what to mend. Then start this again." ;;
    3)
        say "Credentials refused or tenant unreachable. Waiting for it."
        if tenant_is_back "$@"; then again=yes; else say "Page the owner of the tenant's credentials."; fi
        ;;
    4)
        if limit_was_set "$@"; then
            say "Cut short, perhaps by your own limit: read the first line of the summary. Start this again to go on."
        else
            say "The tenant went away. Waiting for it."
            if tenant_is_back "$@"; then again=yes; else say "The tenant does not come back. Page its owner."; fi
        fi
        ;;
    5) say "THIS MACHINE failed the run (disk full?). Stops were sent. Make room on it, then start this again." ;;
    130 | 143) say "Interrupted; the report was written. Start this again to go on." ;;
    *)
        # 137: killed, perhaps for memory. Every stop that left is in the journal.
        again=yes
        say "mass-stop was ended by something else (status $ended)."
        ;;
    esac

    if [ -z "$again" ] || [ -n "$interrupted" ]; then
        exit "$ended"
    fi
    if [ "$round" -ge "$ROUNDS" ]; then
        say "Still not over after $round rounds. A person has to look: $run/report.json"
        exit "$ended"
    fi
    round=$((round + 1))
    say "Round $round of $ROUNDS in $PAUSE seconds."
    nap "$PAUSE"
    [ -z "$interrupted" ] || exit "$ended"
done
