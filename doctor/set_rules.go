package doctor

import (
	"fmt"
	"net"
)

// setRules are those that look at all instances together.
var setRules = []func([]facts, Config) []Finding{
	single, even, sameServer, replicaOfMember,
}

// instances counts them: a cluster is one.
func instances(all []facts) int {
	places := make(map[int]bool)
	for _, f := range all {
		places[f.place] = true
	}
	return len(places)
}

func single(all []facts, _ Config) []Finding {
	if instances(all) != 1 {
		return nil
	}
	return []Finding{{
		ID: "single", Severity: Note,
		What: "There is one instance.",
		Why:  "When it is down, nobody can lock. When it forgets, only the restart guard prevents that a lock is granted twice.",
		Mend: "Three independent instances tolerate the loss of one.",
	}}
}

func even(all []facts, _ Config) []Finding {
	n := instances(all)
	if n%2 != 0 {
		return nil
	}
	return []Finding{{
		ID: "even", Severity: Warning,
		What: fmt.Sprintf("There are %d instances, an even number.", n),
		Why:  fmt.Sprintf("A majority is %d, so no more instances may be down than with %d instances.", n/2+1, n-1),
		Mend: "Add one, or take one away, everywhere in the fleet.",
	}}
}

// sameServer: a quorum of one process is none.
func sameServer(all []facts, _ Config) (found []Finding) {
	first := make(map[string]string) // by run_id, the name
	for _, f := range all {
		id := f.info["run_id"]
		if id == "" {
			continue
		}
		if other, twice := first[id]; twice {
			found = append(found, Finding{
				ID: "same-server", Severity: Danger, Instance: f.name,
				What: fmt.Sprintf("It is the same Redis process as %s.", other),
				Why:  "One process would have two votes, even under another address or with another database. When it forgets a lock, two votes of the majority are gone. An engine refuses such a set.",
				Mend: "Give each URL a server of its own, on a machine of its own.",
			})
			continue
		}
		first[id] = f.name
	}
	return found
}

// replicaOfMember: a master and its replica share a replication history.
func replicaOfMember(all []facts, _ Config) (found []Finding) {
	for _, f := range all {
		if f.info["role"] != "slave" {
			continue
		}
		finding := Finding{
			ID: "replica", Severity: Warning, Instance: f.name,
			What: fmt.Sprintf("It is a replica of %s.", net.JoinHostPort(f.info["master_host"], f.info["master_port"])),
			Why:  "Only a master can vote. Every acquire lacks its vote.",
			Mend: "Name its master instead, or make it an independent server (REPLICAOF NO ONE).",
		}
		for _, other := range all {
			if id := f.info["master_replid"]; id != "" && other.info["role"] == "master" && other.info["master_replid"] == id {
				finding.ID, finding.Severity = "replica-of-member", Danger
				finding.What = fmt.Sprintf("It is a replica of %s, which is an instance as well.", other.name)
				finding.Why = "The two are one vote. If it is ever promoted, both have votes, but one is a copy of the other and lacks the last grants."
				finding.Mend = "Make it an independent server (REPLICAOF NO ONE), or take it out."
			}
		}
		found = append(found, finding)
	}
	return found
}
