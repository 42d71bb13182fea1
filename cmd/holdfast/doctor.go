package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/doctor"
)

var doctorRow = command{
	name:  "doctor",
	short: "check whether the instances are fit to lock with",
	make:  func() action { return new(doctorAction) },
	long: `Asks each instance what it is and how it is set up, tries what locking needs, and
watches its clock for a second. It prints each finding, why it matters and how to mend
it. A "danger" can let two holders have a lock at once. A "warning" costs availability,
speed or secrecy. The rest are "notes". docs/operations.md has more on each.

It changes nothing: one key with a random name behind the prefix is there for a
moment. Give it the same instances, --prefix, --max-ttl, --guard and --timeout as your
programs, and the same user.

Exit codes: 0 when they are safe to lock with; 1 when a finding is a danger; 69 when too
few can vote, or when something that decides about safety is not known, because an
instance does not answer or does not tell; 64 for a wrong command line.`,
}

// doctorAction is `holdfast doctor`.
type doctorAction struct {
	servers
	json bool
}

func (d *doctorAction) flags(fs *flag.FlagSet) {
	d.servers.flags(fs)
	fs.BoolVar(&d.json, "json", false, "write JSON")
}

func (d *doctorAction) run(ctx context.Context, args arguments) error {
	if len(args.all()) > 0 {
		return usage("it takes no arguments: name the instances with --redis or in %s", environment)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	instances, err := d.dial(nil)
	if err != nil {
		return err
	}
	report, err := doctor.Check(ctx, instances, doctor.Config{
		KeyPrefix: d.prefix,
		MaxTTL:    time.Duration(d.maxTTL),
		Guard:     d.guarding(),
	})
	if err != nil {
		return err
	}
	if err := d.print(report); err != nil {
		return err
	}
	switch {
	case report.Endangered():
		return &exitError{code: exitNo}
	case !report.Quorum(), !report.Known():
		return &exitError{code: exitNoQuorum}
	}
	return nil
}

func (d *doctorAction) print(r doctor.Report) error {
	var b bytes.Buffer
	if d.json {
		out := json.NewEncoder(&b)
		out.SetIndent("", "  ")
		if err := out.Encode(struct {
			Safe   bool `json:"safe"`   // and known to be
			Known  bool `json:"known"`  // all that decides whether it is safe
			Quorum bool `json:"quorum"` // can vote
			doctor.Report
		}{r.Safe(), r.Known(), r.Quorum(), r}); err != nil {
			return err
		}
	} else {
		writeReport(&b, r)
	}
	_, err := os.Stdout.Write(b.Bytes())
	return err
}

func writeReport(b *bytes.Buffer, r doctor.Report) {
	for _, p := range r.Servers {
		if !p.Reached {
			fmt.Fprintf(b, "%s: cannot be asked\n", p.Name)
			continue
		}
		if p.Product == "" && p.Role == "" {
			fmt.Fprintf(b, "%s: it answers, but does not say what it is\n", p.Name)
			continue
		}
		fmt.Fprintf(b, "%s: %s %s, %s, up for %v, %v a round trip\n", p.Name, orUnknown(p.Product), orUnknown(p.Version), orUnknown(p.Role), p.Uptime, p.Latency.Round(time.Microsecond))
	}
	for _, g := range grouped(r.Findings) {
		fmt.Fprintf(b, "\n%v: %s", g.Severity, g.ID)
		if g.names != nil {
			fmt.Fprintf(b, " (%s)", strings.Join(g.names, ", "))
		}
		b.WriteByte('\n')
		paragraph(b, "  ", g.What)
		paragraph(b, "  Why:  ", g.Why)
		paragraph(b, "  Mend: ", g.Mend)
	}
	b.WriteByte('\n')
	switch {
	case r.Endangered():
		b.WriteString("These instances are not safe to lock with.\n")
	case !r.Quorum():
		b.WriteString("Too few of these instances can vote: nobody can lock with them.\n")
	case !r.Known():
		b.WriteString("No danger was found, but something that decides about safety is not known.\n")
	default:
		b.WriteString("Nothing here endangers safety.\n")
	}
}

// group is one finding of several servers.
type group struct {
	doctor.Finding
	names []string
}

func grouped(findings []doctor.Finding) (groups []*group) {
	same := make(map[doctor.Finding]*group)
	for _, f := range findings {
		name := f.Instance
		f.Instance = ""
		g := same[f]
		if g == nil {
			g = &group{Finding: f}
			same[f] = g
			groups = append(groups, g)
		}
		if name != "" {
			g.names = append(g.names, name)
		}
	}
	return groups
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// paragraph breaks a text into lines behind a head. Parts of it are the server's words.
func paragraph(b *bytes.Buffer, head, text string) {
	for _, line := range wrap(oneLine(text), 78) {
		fmt.Fprintf(b, "%s%s\n", head, line)
		head = fmt.Sprintf("%*s", len(head), "")
	}
}
