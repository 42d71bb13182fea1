package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// rules are those that look at one instance. Where it could not be asked, a rule
// finds nothing.
var rules = []func(facts, Config) []Finding{
	unreachable, unknown, severalServers, mode, version, noInfo, permissions, commands, refusesWrites, fences, eviction, persistence, young,
	failover, moving, clockRate, clockOffset, slow, insecure,
}

// IDs are those of all findings that there are.
var IDs = []string{
	"clock-offset", "clock-rate", "commands", "even", "eviction", "failover", "fences", "insecure", "mode", "moving", "no-info", "permissions",
	"persistence", "refuses-writes", "replica", "replica-of-member", "same-server", "several-servers", "single", "slow", "unknown",
	"unreachable", "version", "young",
}

// find is what a rule returns that has found something.
func (f facts) find(id string, s Severity, what, why, mend string) []Finding {
	return []Finding{{ID: id, Severity: s, Instance: f.name, What: what, Why: why, Mend: mend}}
}

func unreachable(f facts, _ Config) []Finding {
	if f.reached() {
		return nil
	}
	what := fmt.Sprintf("It cannot be asked: %s.", words(f.err))
	mend := advised(f.err, "See that it runs, that its address, user and password are right, and that no firewall or proxy is in between.")
	switch {
	case !isRefusal(f.err):
	case isDenied(f.err):
		mend += " The user needs +select where the database is not 0 (in Valkey 9 that database, too: db=N), and +client|setname with a client name."
	case strings.Contains(strings.ToLower(f.err.Error()), "unknown command 'select'"):
		mend = "If it is a Sentinel, write redis-sentinel://HOST?master=NAME. Else it has database 0 alone: leave the number out."
	}
	return f.find("unreachable", Warning, what, "Its vote is missing, and nothing else is known of it.", mend)
}

// vital are the fields of INFO that say whether two can hold a lock at once.
var vital = []string{"run_id", "uptime_in_seconds", "role", "maxmemory", "maxmemory_policy", "aof_enabled"}

// missing names what the server has not told: what decides whether it is safe, and
// what else belongs to a full picture.
func (f facts) missing() (decides, other []string) {
	if !f.reached() || f.mode() == "sentinel" { // all of it; nothing
		return nil, nil
	}
	lacks := func(field string) bool { return f.info[field] == "" }
	for _, field := range vital {
		if lacks(field) && (field != "maxmemory_policy" || f.info["maxmemory"] != "0") {
			decides = append(decides, field)
		}
	}
	if _, _, known := f.clock.rate(); !known {
		decides = append(decides, "the rate of its clock (TIME)")
	}
	for _, field := range []string{"redis_version", "connected_slaves"} {
		if lacks(field) {
			other = append(other, field)
		}
	}
	if f.mode() == "" {
		other = append(other, "redis_mode or server_mode")
	}
	if f.info["cluster_enabled"] == "1" && !f.movingKnown {
		other = append(other, "which slots are being moved (CLUSTER NODES)")
	}
	return decides, other
}

// known reports whether the server has told all that decides whether it is safe.
func (f facts) known() bool {
	decides, _ := f.missing()
	return f.reached() && len(decides) == 0
}

func unknown(f facts, _ Config) []Finding {
	decides, other := f.missing()
	if _, refused := f.refused["info"]; refused { // that is a finding of its own
		return nil
	}
	what := func(names []string) string { return "It has not told: " + strings.Join(names, ", ") + "." }
	const mend = "Permit INFO and TIME to the user, for a cluster CLUSTER NODES as well. See whether a proxy between here and the server changes its answers."
	if len(decides) > 0 {
		return f.find("unknown", Warning, what(append(decides, other...)),
			"Safety depends on it, and nothing unknown counts as safe.", mend)
	}
	if len(other) > 0 {
		return f.find("unknown", Note, what(other), "Safety does not depend on it, but availability may.", mend)
	}
	return nil
}

func severalServers(f facts, _ Config) []Finding {
	if len(f.masters) < 2 {
		return nil
	}
	return f.find("several-servers", Danger, fmt.Sprintf("Its address leads to several masters: %d connections in a row found %d Redis processes.", calls, len(f.masters)),
		"Each engine locks on one of them by chance, and the others do not know of that lock. Engines that notice do not let it vote.",
		"Give each server an address of its own, and name each address as an instance of its own. If the server was restarted just now, look again.")
}

// advised is what mends a server's error, where that is known.
func advised(err error, otherwise string) string {
	advice := instance.Advice(err)
	if advice == "" {
		return otherwise
	}
	return strings.ToUpper(advice[:1]) + advice[1:] + "."
}

func mode(f facts, _ Config) []Finding {
	switch mode := f.mode(); {
	case mode == "cluster" && !f.cluster:
		return f.find("mode", Warning, "It is a node of a cluster.",
			"It answers for some slots only. For the others it says MOVED, which is no vote.",
			"To use the whole cluster as one instance, write redis-cluster://HOST.")
	case mode == "sentinel":
		return f.find("mode", Warning, "It is a Sentinel.",
			"Sentinels hold no keys.",
			fmt.Sprintf("To lock on the master that it watches, write redis-sentinel://HOST?master=%s.", or(f.watched(), "NAME")))
	}
	return nil
}

// watched is the name of a master that the Sentinel watches, as it says in INFO:
// "name=leader,status=ok,…".
func (f facts) watched() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(f.info["master0"], "name="), ",")
	return name
}

// The version that all is tested with, and the one without which fencing fails:
// older scripts may not write what they decide by the clock.
const (
	testedMajor = 7
	fencedMajor = 5
)

// major is that of the Redis that it is, or does as; 0: not known.
func (f facts) major() int {
	head, _, _ := strings.Cut(f.info["redis_version"], ".")
	major, _ := strconv.Atoi(head)
	return major
}

func version(f facts, _ Config) []Finding {
	what := fmt.Sprintf("It is Redis %s.", f.info["redis_version"])
	if f.product() != "redis" {
		what = fmt.Sprintf("It is %s %s, which behaves as Redis %s.", f.product(), f.version(), f.info["redis_version"])
	}
	switch major := f.major(); {
	case major == 0 || major >= testedMajor:
		return nil
	case major < fencedMajor:
		return f.find("version", Warning, what,
			"Acquires with fencing tokens fail there, and Holdfast is not tested with it.", "Use Redis 7, Valkey 7.2, or later.")
	default:
		return f.find("version", Warning, what,
			"Acquires take a script there, about three times the work, and Holdfast is not tested with it.", "Use Redis 7, Valkey 7.2, or later.")
	}
}

func noInfo(f facts, cfg Config) []Finding {
	refusal, refused := f.refused["info"]
	if !refused {
		return nil
	}
	severity := Danger
	if cfg.Guard == instance.GuardOff {
		severity = Warning
	}
	what, mend := "INFO is not permitted.", "Give the user +info: ACL SETUSER NAME +info."
	if isLacking(refusal) {
		what = fmt.Sprintf("INFO is refused: %s.", words(refusal))
		mend = "Remove rename-command INFO from its configuration, or lock on a server without a proxy in between."
	}
	return f.find("no-info", severity, what,
		"Without it there is no restart guard: nobody can see that the server has restarted and forgotten its locks, or that it is there twice. Nothing else is known of it either, such as whether it evicts keys.", mend)
}

// notInfo are commands without INFO, which has a finding of its own.
func notInfo(commands []string) []string {
	return slices.DeleteFunc(commands, func(c string) bool { return c == "info" })
}

func permissions(f facts, _ Config) []Finding {
	denied := notInfo(f.commands(isDenied))
	if len(denied) == 0 {
		return nil
	}
	return f.find("permissions", Warning, fmt.Sprintf("This user may not use: %s. It says %s.", strings.Join(denied, ", "), words(f.refused[denied[0]])),
		effect(denied),
		"docs/operations.md has the rule that is enough. All keys that begin with the prefix must be permitted, fences as well; in Valkey 9 the database, too (db=N).")
}

func commands(f facts, _ Config) []Finding {
	lacking := notInfo(f.commands(isLacking))
	if len(lacking) == 0 {
		return nil
	}
	return f.find("commands", Warning, fmt.Sprintf("It lacks these commands, or has them in another form: %s. It says %s.", strings.Join(lacking, ", "), words(f.refused[lacking[0]])),
		effect(lacking),
		"Remove rename-command from its configuration, and proxies between here and the server; or use Redis 7, Valkey 7.2, or later.")
}

func refusesWrites(f facts, _ Config) []Finding {
	const why = "Every acquire lacks its vote."
	if f.info["role"] == "slave" {
		return nil
	}
	if pause := f.pause(); pause != "" {
		return f.find("refuses-writes", Warning, fmt.Sprintf("Its writes are paused: paused_reason is %s, for another %v.", pause, time.Duration(max(0, f.number("paused_timeout_milliseconds")))*time.Millisecond),
			why, "CLIENT UNPAUSE ends a client_pause; a failover or a slot migration ends by itself. Look again then.")
	}
	if f.stalled != "" {
		return f.find("refuses-writes", Warning, fmt.Sprintf("It answers, but not to %s: nothing came for %v.", f.stalled, f.timeout),
			why, "Somebody may have paused its writes (CLIENT UNPAUSE ends that), or a failover or the move of a slot is under way. Look again.")
	}
	if f.refusal == nil {
		return nil
	}
	return f.find("refuses-writes", Warning, fmt.Sprintf("It takes no writes: %s.", words(f.refusal)), why, advised(f.refusal, "See its log."))
}

// fences: the table that has all fencing tokens of a server.
func fences(f facts, cfg Config) []Finding {
	table := cfg.KeyPrefix + slots.FenceTable
	switch {
	case f.spoilt != nil:
		return f.find("fences", Warning, fmt.Sprintf("The key %q, which is the engines', holds something else. It says %s.", table, words(f.spoilt)),
			"Every acquire with a fencing token is refused there.",
			"Give one of the two another prefix; or delete the key, if nobody needs it. Fencing tokens then rise as far as clients' clocks agree.")
	case f.fencesEnd > 0:
		return f.find("fences", Danger, fmt.Sprintf("The key %q, which has the fencing tokens, will be gone in %v.", table, f.fencesEnd.Round(time.Second)),
			"Somebody has given it a TTL. When it is gone, fencing tokens rise only as far as clients' clocks agree.",
			"PERSIST "+table+".")
	}
	return nil
}

func moving(f facts, _ Config) []Finding {
	if len(f.moving) == 0 {
		return nil
	}
	return f.find("moving", Warning, fmt.Sprintf("Slots are being moved from or to it: %s.", strings.Join(f.moving, ", ")),
		"Locks move along. But new locks with fencing tokens wait until their slot has been moved. An atomic migration (CLUSTER MIGRATESLOTS) that fails may have lost the last grants.",
		"Wait until it is done, and see CLUSTER GETSLOTMIGRATIONS: none should have failed.")
}

func eviction(f facts, _ Config) []Finding {
	policy := f.info["maxmemory_policy"]
	if f.number("maxmemory") <= 0 || policy == "" || policy == "noeviction" {
		return nil
	}
	return f.find("eviction", Danger, fmt.Sprintf("When its memory is full it evicts keys: maxmemory-policy is %s.", policy),
		"Locks are keys with a TTL, and every such policy may evict them; allkeys ones the table of fencing tokens, too. An evicted lock is granted again while somebody holds it.",
		"CONFIG SET maxmemory-policy noeviction, in the configuration file, too; better, a Redis for locks alone.")
}

// persistence: what it may forget, and whether the guard covers that.
func persistence(f facts, cfg Config) []Finding {
	aof := f.number("aof_enabled")
	if aof < 0 {
		return nil
	}
	save, saveKnown := f.config["save"]
	fsync := f.config["appendfsync"]
	has, forgets := "no persistence", "everything"
	switch {
	case aof > 0 && fsync == "always":
		return nil
	case aof > 0:
		has, forgets = "an append-only file with appendfsync "+or(fsync, "unknown"), "the last second or more"
	case save != "":
		has, forgets = "snapshots only", "the writes after the last one"
	case !saveKnown:
		has, forgets = "no append-only file", "the writes after the last snapshot, or everything: this is not known, as CONFIG is not permitted"
	}
	what := fmt.Sprintf("It has %s.", has)
	why := fmt.Sprintf("A crash makes it forget %s.", forgets)
	switch {
	case cfg.Guard == instance.GuardOff:
		return f.find("persistence", Danger, what, why+" The restart guard is off, so it grants at once a lock that somebody holds.",
			"Turn the guard on, or set appendonly yes and appendfsync always.")
	case has == "no persistence":
		return f.find("persistence", Warning, what, why+fmt.Sprintf(" The restart guard covers it: the server is quarantined for %v then. When a majority restarts, every lock is lost, and nobody gets one in that time.", cfg.quarantine(f.timeout).Round(time.Second)),
			"Set appendonly yes; with appendfsync always it forgets nothing.")
	}
	return f.find("persistence", Note, what, why+" The restart guard covers it: do not turn it off.",
		"You need do nothing. With appendfsync always it would forget nothing.")
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func young(f facts, cfg Config) []Finding {
	q := cfg.quarantine(f.timeout)
	up := f.uptime()
	if cfg.Guard == instance.GuardOff || up < 0 || up >= q || f.mode() == "sentinel" { // which has no vote
		return nil
	}
	left := (q - up + time.Second).Round(time.Second) // uptimes are in whole seconds
	return f.find("young", Warning, fmt.Sprintf("It was started %v ago: with GuardStrict, as in holdfast run, it is quarantined for another %v.", up, left),
		"It may have forgotten locks that somebody holds. If all instances are as young, an engine with GuardAdaptive that begins now takes that for a first deployment. If it is a restart, and an older engine holds a lock, there are two holders.",
		"Wait. Restart instances one at a time, with so much time between. On a first deployment, holdfast run --first-deployment does not wait.")
}

func failover(f facts, _ Config) []Finding {
	if f.info["role"] != "master" || f.number("connected_slaves") <= 0 {
		return nil
	}
	return f.find("failover", Warning, "It has replicas.",
		"Replication is asynchronous: a promoted replica lacks the last grants. For some seconds some clients may ask the old master, and some the new one.",
		"Independent servers need no replicas. With Sentinel, use a max TTL of 15s or more, and min-replicas-to-write 1.")
}

// clockRate: the drift that every lease allows for is exceeded for sure.
func clockRate(f facts, cfg Config) []Finding {
	least, most, known := f.clock.rate()
	var what string
	switch {
	case !known:
		return nil
	case least > 1+cfg.Drift:
		what = fmt.Sprintf("Its clock runs faster than ours, by %.1f%% at least.", 100*(least-1))
	case most < 1-cfg.Drift:
		what = fmt.Sprintf("Its clock runs slower than ours, by %.1f%% at least.", 100*(1-most))
	default:
		return nil
	}
	return f.find("clock-rate", Danger, what,
		fmt.Sprintf("Leases allow for %g%%. If its clock is faster than that, or was stepped, keys expire before the lease's deadline.", 100*cfg.Drift),
		"Synchronise clocks by slewing, not by steps (chrony, ntpd -x). See whether the virtual machine was paused, or this one is overloaded, and look again.")
}

// tolerableOffset is far more than synchronised clocks are apart.
const tolerableOffset = time.Second

func clockOffset(f facts, cfg Config) []Finding {
	if f.clock.first.sent.IsZero() {
		return nil
	}
	by, wrong := f.clock.first.ahead()
	if by.Abs() <= tolerableOffset+wrong {
		return nil
	}
	direction := "ahead of"
	if by < 0 {
		direction = "behind"
	}
	return f.find("clock-offset", Warning, fmt.Sprintf("Its clock is %v %s ours.", by.Abs().Round(10*time.Millisecond), direction),
		fmt.Sprintf("Locks are not affected, but a step that corrects it can make keys expire early. Fencing tokens that are proposed by a clock %v ahead take a second round.", cfg.MaxTTL/2),
		"Synchronise the clocks of servers and clients (chrony, ntpd).")
}

func slow(f facts, _ Config) []Finding {
	if l := f.clock.latency(); l > f.timeout/4 {
		return f.find("slow", Warning, fmt.Sprintf("A round trip takes %v, and its timeout is %v.", l.Round(10*time.Microsecond), f.timeout),
			"With a little more load, or with the fork of a snapshot, it counts as down.",
			"Raise the timeout (well below the TTL), or find out what makes it slow: SLOWLOG GET, LATENCY DOCTOR.")
	}
	return nil
}

func insecure(f facts, _ Config) (found []Finding) {
	for _, risk := range f.risks {
		found = append(found, f.find("insecure", Warning, strings.ToUpper(risk[:1])+risk[1:]+".",
			"Anyone who has the password can release, take and forge locks.",
			"Use rediss:// with a certificate that can be verified, see docs/operations.md; or a unix socket.")...)
	}
	return found
}
