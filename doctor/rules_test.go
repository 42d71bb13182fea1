package doctor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// healthy is an instance with nothing to find.
func healthy(name string, change ...func(*facts)) facts {
	now := time.Now()
	f := facts{
		name:    name,
		timeout: 500 * time.Millisecond,
		info: map[string]string{
			"run_id": name, "redis_version": "7.2.4", "redis_mode": "standalone", "uptime_in_seconds": "3600",
			"role": "master", "connected_slaves": "0", "master_replid": "history of " + name,
			"maxmemory": "0", "maxmemory_policy": "noeviction", "aof_enabled": "1",
		},
		config:  map[string]string{"save": "", "appendfsync": "always"},
		masters: []string{name},
		clock: clock{
			trips: []time.Duration{time.Millisecond},
			first: reading{now.Round(0), now, now.Add(time.Millisecond)},
			last:  reading{now.Round(0).Add(time.Second), now.Add(time.Second), now.Add(time.Second + time.Millisecond)},
		},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func says(fields map[string]string) func(*facts) {
	return func(f *facts) { maps.Copy(f.info, fields) }
}

// runs makes the second reading come out as by a clock of this rate.
func runs(rate float64) func(*facts) {
	return func(f *facts) {
		f.clock.last.server = f.clock.first.server.Add(time.Duration(rate * float64(time.Second)))
	}
}

func off(by time.Duration) func(*facts) {
	return func(f *facts) {
		f.clock.first.server = f.clock.first.server.Add(by)
		f.clock.last.server = f.clock.last.server.Add(by)
	}
}

func set(first facts) []facts { return placed(first, healthy("b"), healthy("c")) }

// placed makes each an instance.
func placed(all ...facts) []facts {
	for n := range all {
		all[n].place = n
	}
	return all
}

// Each illness is found, as grave as it is, and nothing else with it.
func TestFindings(t *testing.T) {
	gone := errors.New("connection refused")
	cut := func(f *facts) { *f = facts{name: f.name, timeout: f.timeout, err: gone} }
	config := func(name, value string) func(*facts) { return func(f *facts) { f.config[name] = value } }
	refused := func(says string, commands ...string) func(*facts) {
		return func(f *facts) {
			f.refused = make(map[string]error)
			for _, c := range commands {
				f.refused[c] = errors.New(says)
			}
			if _, is := f.refused["info"]; is {
				f.info = nil
			}
		}
	}
	denied := func(commands ...string) func(*facts) {
		return refused("NOPERM this user has no permissions to run the command", commands...)
	}
	lacking := func(commands ...string) func(*facts) { return refused("ERR unknown command", commands...) }
	untold := func(fields ...string) func(*facts) {
		return func(f *facts) {
			for _, name := range fields {
				delete(f.info, name)
			}
		}
	}
	for name, c := range map[string]struct {
		set     []facts
		cfg     Config
		want    map[string]Severity
		unknown bool // and so not to be called safe
	}{
		"healthy":                      {set: set(healthy("a"))},
		"one":                          {set: []facts{healthy("a")}, want: map[string]Severity{"single": Note}},
		"two":                          {set: placed(healthy("a"), healthy("b")), want: map[string]Severity{"even": Warning}},
		"the same twice":               {set: set(healthy("a", says(map[string]string{"run_id": "c"}))), want: map[string]Severity{"same-server": Danger}},
		"no run_id is nobody's":        {set: placed(healthy("a", untold("run_id")), healthy("b", untold("run_id")), healthy("c")), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"a replica of another":         {set: set(healthy("a", says(map[string]string{"role": "slave", "master_replid": "history of c"}))), want: map[string]Severity{"replica-of-member": Danger}},
		"a replica of a stranger":      {set: set(healthy("a", says(map[string]string{"role": "slave"}))), want: map[string]Severity{"replica": Warning}},
		"replicas of its own":          {set: set(healthy("a", says(map[string]string{"connected_slaves": "1"}))), want: map[string]Severity{"failover": Warning}},
		"evicts":                       {set: set(healthy("a", says(map[string]string{"maxmemory": "1000000", "maxmemory_policy": "volatile-ttl"}))), want: map[string]Severity{"eviction": Danger}},
		"would evict if it were full":  {set: set(healthy("a", says(map[string]string{"maxmemory_policy": "allkeys-lru"})))},
		"full, but keeps":              {set: set(healthy("a", says(map[string]string{"maxmemory": "1000000"})))},
		"forgets everything":           {set: set(healthy("a", says(map[string]string{"aof_enabled": "0"}))), want: map[string]Severity{"persistence": Warning}},
		"snapshots":                    {set: set(healthy("a", says(map[string]string{"aof_enabled": "0"}), config("save", "60 1"))), want: map[string]Severity{"persistence": Note}},
		"everysec":                     {set: set(healthy("a", config("appendfsync", "everysec"))), want: map[string]Severity{"persistence": Note}},
		"everysec without a guard":     {set: set(healthy("a", config("appendfsync", "everysec"))), cfg: Config{Guard: instance.GuardOff}, want: map[string]Severity{"persistence": Danger}},
		"always without a guard":       {set: set(healthy("a")), cfg: Config{Guard: instance.GuardOff}},
		"old":                          {set: set(healthy("a", says(map[string]string{"redis_version": "6.2.14"}))), want: map[string]Severity{"version": Warning}},
		"very old":                     {set: set(healthy("a", says(map[string]string{"redis_version": "4.0.1"}))), want: map[string]Severity{"version": Warning}},
		"a node of a cluster":          {set: set(healthy("a", says(map[string]string{"redis_mode": "cluster"}))), want: map[string]Severity{"mode": Warning}},
		"a sentinel":                   {set: set(healthy("a", says(map[string]string{"redis_mode": "sentinel", "uptime_in_seconds": "1"}))), want: map[string]Severity{"mode": Warning}},
		"a server as others have it":   {set: set(healthy("a", untold("redis_mode"), says(map[string]string{"server_mode": "standalone", "server_name": "valkey", "valkey_version": "9.1.2"})))},
		"a node of another's cluster":  {set: set(healthy("a", untold("redis_mode"), says(map[string]string{"server_mode": "cluster"}))), want: map[string]Severity{"mode": Warning}},
		"no mode":                      {set: set(healthy("a", untold("redis_mode"))), want: map[string]Severity{"unknown": Note}},
		"no maxmemory":                 {set: set(healthy("a", untold("maxmemory", "maxmemory_policy"))), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no policy, and no limit":      {set: set(healthy("a", untold("maxmemory_policy")))},
		"no policy, but a limit":       {set: set(healthy("a", untold("maxmemory_policy"), says(map[string]string{"maxmemory": "1"}))), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no role":                      {set: set(healthy("a", untold("role"))), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no uptime":                    {set: set(healthy("a", untold("uptime_in_seconds"))), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no persistence told":          {set: set(healthy("a", untold("aof_enabled"))), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no clock":                     {set: set(healthy("a", func(f *facts) { f.clock.last = reading{} })), want: map[string]Severity{"unknown": Warning}, unknown: true},
		"no INFO, renamed":             {set: set(healthy("a", lacking("info"))), want: map[string]Severity{"no-info": Danger}},
		"a spoilt table of fences":     {set: set(healthy("a", func(f *facts) { f.spoilt = errors.New("WRONGTYPE x") })), want: map[string]Severity{"fences": Warning}},
		"a table of fences that ends":  {set: set(healthy("a", func(f *facts) { f.fencesEnd = time.Hour })), want: map[string]Severity{"fences": Danger}},
		"no scripts":                   {set: set(healthy("a", lacking("evalsha", "script|load"))), want: map[string]Severity{"commands": Warning}},
		"paused":                       {set: set(healthy("a", says(map[string]string{"paused_reason": "client_pause", "paused_actions": "write", "paused_timeout_milliseconds": "3995"}))), want: map[string]Severity{"refuses-writes": Warning}},
		"not paused":                   {set: set(healthy("a", says(map[string]string{"paused_reason": "none", "paused_actions": "none", "paused_timeout_milliseconds": "0"})))},
		"does not answer writes":       {set: set(healthy("a", func(f *facts) { f.stalled = "set" })), want: map[string]Severity{"refuses-writes": Warning}},
		"slots on their way":           {set: set(healthy("a", func(f *facts) { f.moving = []string{"5"} })), want: map[string]Severity{"moving": Warning}},
		"slots not told":               {set: set(healthy("a", says(map[string]string{"cluster_enabled": "1"}))), want: map[string]Severity{"unknown": Note}},
		"young":                        {set: set(healthy("a", says(map[string]string{"uptime_in_seconds": "61"}))), want: map[string]Severity{"young": Warning}},
		"old enough":                   {set: set(healthy("a", says(map[string]string{"uptime_in_seconds": "62"})))},
		"young for a longer TTL":       {set: set(healthy("a", says(map[string]string{"uptime_in_seconds": "62"}))), cfg: Config{MaxTTL: time.Hour / 2}, want: map[string]Severity{"young": Warning}},
		"young, and nobody guards":     {set: set(healthy("a", says(map[string]string{"uptime_in_seconds": "1"}))), cfg: Config{Guard: instance.GuardOff}},
		"may not kill":                 {set: set(healthy("a", denied("client|id", "client|kill"))), want: map[string]Severity{"permissions": Warning}},
		"no INFO":                      {set: set(healthy("a", denied("info"))), want: map[string]Severity{"no-info": Danger}},
		"no INFO, and nobody guards":   {set: set(healthy("a", denied("info"))), cfg: Config{Guard: instance.GuardOff}, want: map[string]Severity{"no-info": Warning}, unknown: true},
		"out of memory":                {set: set(healthy("a", func(f *facts) { f.refusal = errors.New("OOM command not allowed") })), want: map[string]Severity{"refuses-writes": Warning}},
		"fast":                         {set: set(healthy("a", runs(1.02))), want: map[string]Severity{"clock-rate": Danger}},
		"slow":                         {set: set(healthy("a", runs(0.98))), want: map[string]Severity{"clock-rate": Danger}},
		"stepped back":                 {set: set(healthy("a", runs(-10))), want: map[string]Severity{"clock-rate": Danger}},
		"within the drift":             {set: set(healthy("a", runs(1.009)))},
		"fast for a smaller drift":     {set: set(healthy("a", runs(1.009))), cfg: Config{Drift: 0.005}, want: map[string]Severity{"clock-rate": Danger}},
		"ahead":                        {set: set(healthy("a", off(2*time.Second))), want: map[string]Severity{"clock-offset": Warning}},
		"behind":                       {set: set(healthy("a", off(-2*time.Second))), want: map[string]Severity{"clock-offset": Warning}},
		"a little ahead":               {set: set(healthy("a", off(900*time.Millisecond)))},
		"answers late":                 {set: set(healthy("a", func(f *facts) { f.clock.trips = []time.Duration{200 * time.Millisecond} })), want: map[string]Severity{"slow": Warning}},
		"in the clear":                 {set: set(healthy("a", func(f *facts) { f.risks = []string{"a password is sent"} })), want: map[string]Severity{"insecure": Warning}},
		"does not answer":              {set: set(healthy("a", cut)), want: map[string]Severity{"unreachable": Warning}, unknown: true},
		"nothing is known of anything": {set: set(facts{name: "a", timeout: time.Second}), want: map[string]Severity{"unknown": Warning}, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(map[string]Severity)
			r := judge(c.set, c.cfg.withDefaults())
			for _, f := range r.Findings {
				got[f.ID] = f.Severity
				if f.What == "" || f.Why == "" || f.Mend == "" || !slices.Contains(IDs, f.ID) {
					t.Errorf("incomplete: %+v", f)
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
			danger := slices.Contains(slices.Collect(maps.Values(c.want)), Danger)
			if r.Endangered() != danger || r.Safe() != (!danger && !c.unknown) {
				t.Errorf("endangered: %v, known: %v, safe: %v", r.Endangered(), r.Known(), r.Safe())
			}
		})
	}
}

// What servers call themselves, as they say it.
func TestProducts(t *testing.T) {
	for name, c := range map[string]struct {
		info                   map[string]string
		product, version, mode string
	}{
		"Redis 7.0":           {map[string]string{"redis_version": "7.0.15", "redis_mode": "standalone"}, "redis", "7.0.15", "standalone"},
		"Redis 8.0, cluster":  {map[string]string{"redis_version": "8.0.6", "redis_mode": "cluster"}, "redis", "8.0.6", "cluster"},
		"Valkey 8.1":          {map[string]string{"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.1", "server_mode": "standalone"}, "valkey", "8.1.1", "standalone"},
		"Valkey 9.1":          {map[string]string{"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2", "server_mode": "sentinel"}, "valkey", "9.1.2", "sentinel"},
		"something else":      {map[string]string{"redis_version": "7.4.0", "server_name": "Otherdb"}, "otherdb", "7.4.0", ""},
		"nothing":             {nil, "", "", ""},
		"a version of itself": {map[string]string{"redis_version": "6.2.0", "server_name": "x", "x_version": "1"}, "x", "1", ""},
	} {
		f := facts{info: c.info}
		if p := f.patient(); p.Product != c.product || p.Version != c.version || f.mode() != c.mode {
			t.Errorf("%s: got %q %q, %q, want %q %q, %q", name, p.Product, p.Version, f.mode(), c.product, c.version, c.mode)
		}
	}
}

// The rate is known only as well as the network lets it be known.
func TestRateIsBoundedByTheNetwork(t *testing.T) {
	f := healthy("a", runs(1.05), func(f *facts) { f.clock.last.got = f.clock.last.got.Add(60 * time.Millisecond) })
	if found := clockRate(f, Config{Drift: 0.01}); found != nil {
		t.Errorf("5%% faster may have been the network's 60ms: %v", found)
	}
	least, most, known := f.clock.rate()
	if !known || least > 1 || most < 1.05 {
		t.Errorf("from %v to %v, %v", least, most, known)
	}
}

func TestQuorum(t *testing.T) {
	gone := facts{name: "x", err: errors.New("gone")}
	if r := judge(placed(healthy("a"), healthy("b"), gone), Config{}.withDefaults()); !r.Quorum() {
		t.Error("two of three are one")
	}
	if r := judge(placed(healthy("a"), healthy("b"), gone, gone), Config{}.withDefaults()); r.Quorum() {
		t.Error("two of four are none")
	}
}

// A server that answers, but cannot vote, is none of a quorum.
func TestAnInstanceThatCannotVoteIsNoneOfAQuorum(t *testing.T) {
	refuses := func(command, says string) func(*facts) {
		return func(f *facts) { f.refused = map[string]error{command: errors.New(says)} }
	}
	for name, c := range map[string]struct {
		change func(*facts)
		votes  bool
	}{
		"a sentinel":                  {says(map[string]string{"redis_mode": "sentinel"}), false},
		"a sentinel of Valkey":        {says(map[string]string{"redis_mode": "", "server_mode": "sentinel"}), false},
		"a node of a cluster":         {says(map[string]string{"redis_mode": "cluster"}), false},
		"a master of a whole cluster": {func(f *facts) { f.info["redis_mode"], f.cluster = "cluster", true }, true},
		"a replica":                   {says(map[string]string{"role": "slave"}), false},
		"paused":                      {says(map[string]string{"paused_reason": "slot_migration"}), false},
		"no answer to a write":        {func(f *facts) { f.stalled = "set" }, false},
		"out of memory":               {func(f *facts) { f.refusal = errors.New("OOM") }, false},
		"two behind one address":      {func(f *facts) { f.masters = []string{"one", "two"} }, false},
		"no EVALSHA":                  {refuses("evalsha", "ERR unknown command 'evalsha'"), false},
		"no SET":                      {refuses("set", "NOPERM"), false},
		"no TIME":                     {refuses("time", "ERR unknown command 'time'"), true},
		"no INFO":                     {refuses("info", "NOPERM"), true},
		"no CLIENT":                   {refuses("client|id", "NOPERM"), true},
		"no HELLO":                    {refuses("hello", "ERR unknown command 'hello'"), true},
	} {
		if r := judge([]facts{healthy("a", c.change)}, Config{}.withDefaults()); r.Quorum() != c.votes {
			t.Errorf("%s: a quorum is %v", name, r.Quorum())
		}
	}
}

func TestNothingToCheck(t *testing.T) {
	if _, err := Check(context.Background(), nil, Config{}); err == nil {
		t.Error("no instances are no error")
	}
}
