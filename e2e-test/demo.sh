#!/usr/bin/env bash
# `make demo`: the platform does its job on this machine, with real programs and
# a real git repository, and every step is checked. The argument is the directory
# of the programs. With KEEP=1 the server goes on running afterwards.
#
# Everything is in a directory of its own below .demo/, so that two demos can run
# at a time; ports are given by the system.
set -euo pipefail
started=$SECONDS
root=$(cd "$(dirname "$0")/.." && pwd)
programs=$(cd "${1:?where are the programs?}" && pwd)

# What the caller has set for a server of their own must not reach this one.
unset "${!HAMCTL_@}" "${!ARTIFACT_@}" CONFIG_REPO CONFIG_BRANCH DATA_DIR EXTERNAL_URL HTTP_PORT \
    LOG_LEVEL LOG_DEVELOPMENT XDG_DATA_HOME DAEMON_AUTH_TOKEN GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export PATH="$programs:$PATH" LC_ALL=C.UTF-8 TZ=UTC GIT_PAGER=cat
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export no_proxy=localhost NO_PROXY=localhost

bold='' cyan='' green='' red='' off=''
if [[ -t 1 && -z "${NO_COLOR-}" ]]; then
    bold=$'\e[1m' cyan=$'\e[36m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'
fi

mkdir -p "$root/.demo"
demo=$(mktemp -d "$root/.demo/run.XXXXXX")
server_pid=''

stop_server() {
    [[ -n "$server_pid" ]] || return 0
    kill -TERM "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=''
}

clean_up() {
    stop_server
    rm -rf "$demo"
    # Another demo may still be in there.
    rmdir "$root/.demo" 2>/dev/null || true
}

at_exit() {
    local status=$?
    # Nothing may cut the cleaning up short, not even that nobody reads this any more.
    trap '' HUP INT PIPE TERM
    set +e
    if [[ $status -gt 128 ]]; then
        clean_up
        printf '\n%sThe demo was interrupted; what it started was stopped and removed.%s\n' "$red" "$off"
    elif [[ $status -ne 0 ]]; then
        if [[ -s "$demo/server.log" ]]; then
            printf '\nThe last lines of the server'\''s log:\n'
            tail -n 20 "$demo/server.log"
        fi
        clean_up
        printf '\n%sThe demo failed; what it started was stopped and removed.%s\n' "$red" "$off"
    elif [[ -n "${finished-}" && "${KEEP-}" == 1 ]]; then
        what_next
    else
        clean_up
        printf '\n%sDemo passed in %s s:%s built, released, promoted, rolled back, refused and released by itself; every step checked; nothing left behind.\n' \
            "$green" $((SECONDS - started)) "$off"
    fi
}
trap at_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

step=0
chapter() {
    step=$((step + 1))
    printf '\n%s%s. %s%s\n' "$bold" "$step" "$1" "$off"
}

say() {
    printf '%s\n' "$*"
}

show() {
    printf '\n%s$ %s%s\n' "$cyan" "$1" "$off"
}

# Shows a command as one would type it, and runs exactly that. Without a terminal
# to read from: nothing here asks questions.
run() {
    show "$1"
    eval "$1" </dev/null
}

check() {
    if [[ "$2" != "$3" ]]; then
        printf '\n%sCHECK FAILED: %s%s\n  expected: %s\n  found:    %s\n' "$red" "$1" "$off" "$3" "$2"
        exit 1
    fi
    printf '%s✓ checked: %s%s\n' "$green" "$1" "$off"
}

# <environment>=<artifact id> of every environment
running() {
    hamctl status --service payments --template '{{ range .Environments }}{{ .Name }}={{ .Tag }} {{ end }}'
}

# ---------------------------------------------------------------------------
# What happened before: three services and some releases by colleagues, as any
# release manager that came before this one wrote them.

manifests() { # directory service tag replicas
    mkdir -p "$1"
    cat >"$1/01-configmap.yaml" <<YAML
apiVersion: v1
kind: ConfigMap
metadata:
  name: $2
data:
  LOG_LEVEL: info
  CURRENCY: EUR
YAML
    cat >"$1/40-deployment.yaml" <<YAML
apiVersion: apps/v1
kind: Deployment
metadata:
  name: $2
  annotations:
    lunarway.com/controlled-by-release-manager: "true"
    lunarway.com/artifact-id: $3
spec:
  replicas: $4
  selector:
    matchLabels:
      app: $2
  template:
    metadata:
      labels:
        app: $2
    spec:
      containers:
        - name: $2
          image: registry.example.com/$2:$3
          ports:
            - containerPort: 8080
          envFrom:
            - configMapRef:
                name: $2
          readinessProbe:
            httpGet:
              path: /ready
              port: 8080
YAML
    cat >"$1/50-service.yaml" <<YAML
apiVersion: v1
kind: Service
metadata:
  name: $2
spec:
  selector:
    app: $2
  ports:
    - port: 80
      targetPort: 8080
YAML
}

old_release() { # days-ago environment service artifact-id intent message
    local directory="work/$2/releases/$2/$3" sha=${4#main-} when
    when=$(($(date +%s) - $1 * 86400))
    manifests "$directory" "$3" "$4" 2
    cat >"$directory/artifact.json" <<JSON
{
  "id": "$4",
  "service": "$3",
  "application": {
    "branch": "main",
    "sha": "${sha%-*}",
    "authorName": "Ada Park",
    "authorEmail": "ada@example.com",
    "committerName": "Ada Park",
    "committerEmail": "ada@example.com",
    "message": "$6",
    "name": "$3"
  },
  "ci": {
    "start": "$(date -u -d "@$((when - 400))" +%FT%TZ)",
    "end": "$(date -u -d "@$((when - 300))" +%FT%TZ)"
  },
  "shuttle": {
    "plan": {}
  }
}
JSON
    old_commit "$when" "[$2/$3] release $4 by lin@example.com

Service: $3
Environment: $2
Artifact-ID: $4
Artifact-released-by: Lin Berg <lin@example.com>
Artifact-created-by: Ada Park <ada@example.com>
$5"
}

old_commit() { # unix-time message
    git -C work add --all
    GIT_AUTHOR_DATE="@$1 +0000" GIT_COMMITTER_DATE="@$1 +0000" git -C work \
        -c user.name='Release Manager' -c user.email=release-manager@example.com commit --quiet --message "$2"
}

config_repository() {
    git init --quiet --bare --initial-branch main config.git
    git init --quiet --initial-branch main work
    printf '# Configuration\n\nWhat should run, for every environment.\n' >work/README.md
    old_commit $(($(date +%s) - 90 * 86400)) 'Begin'
    local branch='Release-intent: ReleaseBranch
Release-of-branch: main'
    local promote='Release-intent: Promote
Promoted-from-environment: dev'
    old_release 30 dev cart main-3fe0c2d9b1-67e9d69164 "$branch" 'Remember the cart for a month'
    old_release 29 prod cart main-3fe0c2d9b1-67e9d69164 "$promote" 'Remember the cart for a month'
    old_release 12 dev payments main-a41b77c05e-67e9d69164 "$branch" 'Accept cards of two more networks'
    old_release 10 prod payments main-a41b77c05e-67e9d69164 "$promote" 'Accept cards of two more networks'
    old_release 4 dev search main-90d5e8f7a2-67e9d69164 "$branch" 'Forgive typing errors'
    git -C work push --quiet ../config.git main
    rm -rf work
}

start_server() {
    # A process group of its own: Ctrl-C reaches the demo only, which stops it in order.
    set -m
    server start --config-repo "file://$PWD/config.git" --data-dir "$PWD/data" --http-port 0 </dev/null >server.log 2>&1 &
    server_pid=$!
    set +m
    local port='' tries=0
    until [[ -n "$port" ]] && curl --silent --fail --max-time 5 --output ready.json "http://localhost:$port/ready"; do
        kill -0 "$server_pid" 2>/dev/null || exit 1
        tries=$((tries + 1))
        [[ $tries -lt 300 ]] || exit 1
        sleep 0.1
        port=$(sed -n 's/.*"message":"Listening","port":\([0-9]*\).*/\1/p' server.log)
    done
    HAMCTL_URL="http://localhost:$port"
    HAMCTL_AUTH_TOKEN=$(<data/tokens/hamctl)
    ARTIFACT_URL=$HAMCTL_URL
    ARTIFACT_AUTH_TOKEN=$(<data/tokens/artifact)
    HAMCTL_USER_NAME='Jane Doe' HAMCTL_USER_EMAIL=jane@example.com
    export "${!HAMCTL_@}" "${!ARTIFACT_@}"
}

build() { # artifact-id branch sha message
    rm -rf build
    manifests build/dev payments "$1" 1
    manifests build/prod payments "$1" 3
    cd build
    artifact init --service payments --artifact-id "$1" --git-branch "$2" --git-sha "$3" \
        --git-message "$4" --git-author-name 'Sam Roy' --git-author-email sam@example.com \
        --git-committer-name 'Sam Roy' --git-committer-email sam@example.com >/dev/null
    artifact add build --image registry.example.com/payments --tag "$1" >/dev/null
    artifact add test --passed 213 --failed 0 --skipped 3 >/dev/null
    artifact end >/dev/null
    run 'artifact push'
    cd ..
}

what_next() {
    cat <<TEXT

The server goes on running, as process $server_pid. Paste this to talk to it:

  ${bold}cd $demo
  export PATH="$programs:\$PATH" HAMCTL_URL=$HAMCTL_URL HAMCTL_AUTH_TOKEN="\$(cat data/tokens/hamctl)"${off}

and try:

  hamctl status --service payments
  hamctl rollback --service payments --env prod          # in a terminal: choose from a list
  hamctl release --service payments --branch main --env dev,prod --wait
  hamctl describe artifact --service payments --output yaml
  hamctl promote --service paymnets --env prod           # what does a typing error get?
  git --git-dir config.git log
  tail -f server.log
  server events list
  curl $HAMCTL_URL/ready; curl $HAMCTL_URL/metrics

Stop it with

  ${bold}kill $server_pid; rm -rf $demo${off}

${green}Demo passed in $((SECONDS - started)) s; the server is still running.${off}
TEXT
}

# ---------------------------------------------------------------------------

first=main-1f0c3a9b7d-67e9d69164
second=main-8e2d4c6a10-67e9d69164
third=new-receipts-3c91fe0d52-67e9d69164
fourth=main-52d7b8e6f4-67e9d69164
cd "$demo"

chapter 'A config repository'
say 'Everything that should run is in one git repository. Here is one with three services'
say 'and what colleagues released before. In real life it is on your git host.'
config_repository
run "git --git-dir config.git log --format='%h %ar: %s'"
check 'the repository holds six commits' "$(git --git-dir config.git rev-list --count main)" 6

chapter 'The server'
say 'It needs to know where that repository is, and nothing else. Everything it keeps is'
say 'in one directory; the tokens that clients log in with are made there, too.'
show 'server start --config-repo "file://$PWD/config.git" --data-dir "$PWD/data" --http-port 0 &'
start_server
run 'export HAMCTL_URL='"$HAMCTL_URL"' HAMCTL_AUTH_TOKEN="$(cat data/tokens/hamctl)"'
run 'hamctl status --service payments'
check 'the server knows what ran before it' "$(running)" \
    'dev=main-a41b77c05e-67e9d69164 prod=main-a41b77c05e-67e9d69164 '

chapter 'A CI job builds an artifact'
say 'An artifact is a record of the build, and the files to apply in each environment. The'
say 'job has rendered those files; now it notes what it did, and uploads all of it.'
manifests build/dev payments $first 1
manifests build/prod payments $first 3
run 'cd build; ls dev prod'
run 'export ARTIFACT_URL=$HAMCTL_URL ARTIFACT_AUTH_TOKEN="$(cat ../data/tokens/artifact)"'
run 'artifact init --service payments --artifact-id main-1f0c3a9b7d-67e9d69164 \
    --git-branch main --git-sha 1f0c3a9b7d --git-message "Refund in one click" \
    --git-author-name "Ada Park" --git-author-email ada@example.com \
    --git-committer-name "Ada Park" --git-committer-email ada@example.com'
run 'artifact add build --image registry.example.com/payments --tag main-1f0c3a9b7d-67e9d69164'
run 'artifact add test --passed 212 --failed 0 --skipped 3'
run 'artifact add push --image registry.example.com/payments --tag main-1f0c3a9b7d-67e9d69164'
run 'artifact end'
run 'artifact push'
cd ..
check 'the server has the artifact' \
    "$(hamctl describe artifact --service payments --template '{{ range .Artifacts }}{{ .ID }} {{ end }}')" "$first "

chapter 'Release it to dev'
say 'A release is one commit in the config repository. With --wait, hamctl returns when that'
say 'commit is on the remote.'
run 'hamctl release --service payments --branch main --env dev --wait'
check 'dev runs the new artifact, and prod the old one' "$(running)" "dev=$first prod=main-a41b77c05e-67e9d69164 "

chapter 'Promote it to prod'
say 'What runs in dev goes to prod, with the files that were built for prod.'
run 'hamctl promote --service payments --env prod --wait'
check 'both run the new artifact' "$(running)" "dev=$first prod=$first "
check 'prod has three replicas, dev one' "$(
    for environment in dev prod; do
        git --git-dir config.git show main:$environment/releases/$environment/payments/40-deployment.yaml
    done | sed -n 's/^  replicas: //p' | xargs
)" '1 3'

chapter 'The next build'
say 'The same CI job with the next commit. This one will turn out to be a mistake.'
build $second main 8e2d4c6a10 'Round amounts up'
run 'hamctl release --service payments --branch main --env dev,prod --wait'
check 'both run the second artifact' "$(running)" "dev=$second prod=$second "
run 'hamctl release --service payments --branch main --env dev --wait'
check 'a release of what already runs makes no commit' "$(git --git-dir config.git rev-list --count main)" 10

chapter 'Roll prod back'
say 'In a terminal, hamctl offers the last releases to choose from. In a script like this one'
say 'it takes the one before.'
run 'hamctl rollback --service payments --env prod --wait'
check 'prod is back to the first artifact, dev is as it was' "$(running)" "dev=$second prod=$first "

chapter 'Rules: what may go where'
say 'Prod is for important things: from now on only branch main may go there. The next build'
say 'is of another branch.'
run "hamctl policy apply branch-restriction --service payments --env prod --branch-regex '^main$'"
build $third new-receipts 3c91fe0d52 'Try new receipts'
show "hamctl release --service payments --branch new-receipts --env prod --wait"
if hamctl release --service payments --branch new-receipts --env prod --wait </dev/null; then refused=no; else refused=yes; fi
check 'the release was refused' "$refused" yes
check 'prod runs what it ran before' "$(running)" "dev=$second prod=$first "

chapter 'A build that releases itself'
say 'New builds of main go to dev without anybody asking for it, in the name of who wrote them.'
run 'hamctl policy apply auto-release --service payments --branch main --env dev'
run 'hamctl policy list --service payments'
build $fourth main 52d7b8e6f4 'Round amounts to the cent'
tries=0
until [[ "$(running)" == "dev=$fourth "* ]]; do
    tries=$((tries + 1))
    [[ $tries -lt 300 ]] || break
    sleep 0.1
done
run 'hamctl describe release --service payments --env dev'
check 'dev runs the new build by itself, prod does not' "$(running)" "dev=$fourth prod=$first "
check 'its author released it' "$(git --git-dir config.git log -1 --format=%s)" \
    "[dev/payments] auto release $fourth by sam@example.com"

chapter 'What runs where, and how it came there'
run 'hamctl status --service payments'
run 'hamctl describe release --service payments --env prod --count 3'
check 'history goes back to before this server' \
    "$(hamctl describe release --service payments --env prod --count 10 --template '{{ range .Releases }}{{ .Artifact.ID }} {{ end }}')" \
    "$first $second $first main-a41b77c05e-67e9d69164 "

chapter 'What is left in git'
run "git --git-dir config.git log --max-count 5 --format='%h %an: %s'"
run 'git --git-dir config.git show --stat --format=%B'
check 'fourteen commits, of which the rollback is the newest one that changed prod' \
    "$(git --git-dir config.git rev-list --count main) $(git --git-dir config.git log -1 --format=%s -- prod)" \
    "14 [prod/payments] rollback $first by jane@example.com"
check 'git finds nothing wrong with the repository' "$(git --git-dir config.git fsck --strict 2>&1)" ''
check 'no event waits and none has failed' "$(server events list)" 'No event waits and none has failed'
finished=yes
