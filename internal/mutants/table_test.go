package mutants

// mutant is one bug.
type mutant struct {
	name  string
	edits []edit
	lua   bool   // in a script, which only miniredis runs
	test  string // that is to catch it; "": the simulation is
	in    string // the package of that test
}

// edit is text that is found once in a file, and what takes its place.
type edit struct{ file, old, new string }

func one(file, old, new string) []edit { return []edit{{file, old, new}} }

var table = []mutant{
	{
		name: "the same token over all attempts of an acquire",
		edits: one("engine/acquire.go",
			"		q.token = newToken(e.cfg.Owner)\n",
			"		q.token = newToken(e.cfg.Owner)\n		r.token = q.token\n"),
	},
	{
		name: "a fence that is granted twice: > instead of >=",
		edits: one("instance/lua/acquire_fenced.lua",
			"tonumber(fence) >= tonumber(ARGV[3])",
			"tonumber(fence) > tonumber(ARGV[3])"),
		lua: true,
	},
	{
		name: "a proposal that is sent twice is stale, because of itself",
		edits: one("instance/lua/acquire_fenced.lua",
			"tonumber(ARGV[3]) and not repeated then",
			"tonumber(ARGV[3]) then"),
		in: "instance", test: "TestAProposalThatIsSentTwiceIsGrantedTwice",
	},
	{
		name: "a proposal may be as far ahead as it likes",
		edits: one("instance/lua/acquire_fenced.lua",
			"if tonumber(ARGV[3]) > now + tonumber(ARGV[5]) then",
			"if false then"),
		in: "instance", test: "TestAProposalFarAheadOfTheServersClockIsNotTakenOver",
	},
	{
		name: "fences compared as texts",
		edits: one("instance/lua/acquire_fenced.lua",
			"if fence and tonumber(fence) >= tonumber(ARGV[3])",
			"if fence and fence >= ARGV[3]"),
		in: "instance", test: "TestAFenceIsNeverGivenTwiceNorALowerOneLater",
	},
	{
		name: "a fence stored as a Lua number's text",
		edits: one("instance/lua/acquire_fenced.lua",
			"redis.call('SET', KEYS[2], ARGV[6],",
			"redis.call('SET', KEYS[2], tonumber(ARGV[6]) .. '',"),
		in: "instance", test: "TestAFenceIsNeverGivenTwiceNorALowerOneLater",
	},
	{
		name: "a lock that is renewed and outlives its fence",
		edits: one("instance/lua/renew_fenced.lua",
			"if redis.call('PTTL', fence) < tonumber(fencettl) then",
			"if false then"),
		in: "instance", test: "TestAFenceOutlivesItsLock",
	},
	{
		name: "the fence raised before the lock is deleted, without memory to spare",
		edits: []edit{
			{"instance/lua/release_fenced.lua", "local answer =", "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])\nlocal answer ="},
		},
		in: "instance", test: "TestALockIsReleasedThoughThereIsNoMemoryForItsFence",
	},
	{
		name: "oks counted across proposals and rounds",
		edits: []edit{
			{"engine/option.go", "	errs     []error\n}", "	errs     []error\n	oks      int\n}"},
			{"engine/attempt.go", "	a.open(a.engine.instances)\n", "	a.open(a.engine.instances)\n	a.tally.yes = r.oks\n"},
			{"engine/acquire.go", "	votes := a.result()\n	refused := e.refusal", "	r.oks = a.tally.yes\n	votes := a.result()\n	refused := e.refusal"},
		},
	},
	{
		name: "an acquire overtaken by its release: the former connection is not killed",
		edits: one("instance/link.go",
			"	if former == nil || former.id == 0",
			"	if former == nil || former.id != 0"),
	},
	{
		name: "no tombstone, where the former connection may not be killed",
		edits: one("instance/lua/release_fenced.lua",
			"if not fence or tonumber(fence) < tonumber(ARGV[2]) then",
			"if false then"),
		lua: true,
	},
	{
		name: "no tombstone, on another connection than the acquire's, where the former may not be killed",
		edits: one("instance/release.go",
			"!s.again && !s.opened.IsZero() && r.Since.After(s.opened)",
			"!r.Since.IsZero()"),
		in: "engine", test: "TestReleaseThatOvertakesItsAcquireLeavesATombstone",
	},
	{
		name: "validity counted from after the replies",
		edits: one("engine/acquire.go",
			"	deadline := start.Add(e.cfg.validity(r.ttl))",
			"	deadline := clock.Now().Add(e.cfg.validity(r.ttl))"),
	},
	{
		name: "a renewal's validity counted from after the replies",
		edits: one("engine/renewal.go",
			"		o.Deadline = r.start.Add(",
			"		o.Deadline = clock.Now().Add("),
	},
	{
		name: "no restart guard",
		edits: one("internal/restart/restart.go",
			"	full := now.At.Add(quarantine)\n",
			"	full := now.At.Add(quarantine)\n	if !full.IsZero() {\n		return Judgement{}\n	}\n"),
	},
	{
		name: "a quarantine shorter than the longest TTL",
		edits: one("engine/config.go",
			"	return c.MaxTTL + attempt",
			"	return c.MaxTTL/4 + attempt"),
	},
	{
		name: "a late renewal that revives",
		edits: one("lease/control.go",
			"err == nil && deadline.Later(l.deadline) {\n		l.deadline = deadline\n",
			"deadline.Later(l.deadline) {\n		l.deadline, l.err = deadline, nil\n"),
	},
	{
		name: "Done at the end of the TTL, not of the validity",
		edits: one("engine/config.go",
			"	return ttl - (time.Duration(float64(ttl)*c.DriftFactor) + fixedDrift)",
			"	return ttl"),
	},
	{
		name: "a quorum of N/2",
		edits: one("engine/ballot.go",
			"func quorum(voters int) int { return voters/2 + 1 }",
			"func quorum(voters int) int { return max(1, voters/2) }"),
	},
	{
		name: "a minority that is kept through retries",
		edits: one("engine/acquire.go",
			"	a.undo()\n",
			""),
	},
	{
		name: "a renewal that puts a missing key back",
		edits: one("instance/lua/renew.lua",
			"  local holder = redis.pcall('GET', key)\n",
			"  redis.call('SET', key, token, 'NX', 'PX', ttl)\n  local holder = redis.pcall('GET', key)\n"),
		lua: true,
	},
	{
		name: "healing without proof",
		edits: []edit{
			{"engine/renewal.go", "t.ours.all() && t.ours.won()", "t.ours.all()"},
			{"engine/renewal.go", "h.released || !l.Valid()", "h.released"},
		},
	},
	{
		name: "a release that does not compare",
		edits: one("instance/lua/release.lua",
			"if holder == ARGV[1] then",
			"if holder then"),
		lua: true,
	},
	{
		name: "what is owed to a frozen instance is forgotten after the TTL",
		edits: one("instance/debts.go",
			"	s := sending{instance: i, now: time.Now()}\n",
			"	s := sending{instance: i, now: time.Now()}\n	owed = slices.DeleteFunc(owed, func(d debt) bool { return !s.now.Before(d.until) })\n"),
	},
	{
		name: "an instance that is in quarantine votes",
		edits: one("instance/acquire.go",
			"	case s.recovering > 0 && !s.heals(a.Proof):",
			"	case s.recovering < 0 && !s.heals(a.Proof):"),
	},
	{
		name: "a log that is written by whoever has something to log",
		edits: one("engine/telling.go",
			"	t := &telling{trace: trace, log: tell.NewLog()}\n	log := t.log.Logger(user)\n",
			"	t := &telling{trace: trace, log: tell.NewLog()}\n	log := user\n"),
		in: "engine", test: "TestLeasesEndOnTimeWhenTheLogIsSlow",
	},
	{
		name: "the keeper tells of a lease before it ends the next",
		edits: one("keeper/keeper.go",
			"		k.causes = append(k.causes, e.Control.Finish(lease.ErrExpired, now))\n",
			"		k.causes = append(k.causes, nil)\n		e.Control.End(lease.ErrExpired)\n"),
		in: "keeper", test: "TestAllEndBeforeAnybodyIsTold",
	},
	{
		name: "a reader that calls the user's Trace",
		edits: one("engine/telling.go",
			"		t.votes.Put(vote{instance: name, says: says})",
			"		t.trace.Vote(name, says)"),
		in: "engine", test: "TestNoFuncOfTheUsersHoldsUpTheEngine",
	},
}
