package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const changelog = "# Changelog\n\n## Unreleased\n\n## 0.1.0 - 2026-12-01\n\n- `engine`: all of it.\n"

// ready is a tree that may be tagged v0.1.0, as files.
func ready() map[string]string {
	nested := func(dir string) string {
		return "module " + core + "/" + dir + "\n\ngo 1.26.0\n\nrequire " + core + " v0.1.0\n"
	}
	return map[string]string{
		"CHANGELOG.md":        changelog,
		"go.mod":              "module " + core + "\n\ngo 1.26.0\n",
		"promholdfast/go.mod": nested("promholdfast"),
		"otelholdfast/go.mod": nested("otelholdfast"),
		"bench/go.mod":        nested("bench"),
	}
}

// Whatever must not be in a release is found, alone, and by its name.
func TestWhatIsNotReadyIsFound(t *testing.T) {
	for _, c := range []struct {
		name, version string
		change        func(files map[string]string)
		want          string // "" is ready
	}{
		{"all is well", "v0.1.0", func(map[string]string) {}, ""},
		{"no version", "", func(map[string]string) {}, `"" is no version`},
		{"a version without v", "0.1.0", func(map[string]string) {}, `"0.1.0" is no version`},
		{"half a version", "v0.1", func(map[string]string) {}, `"v0.1" is no version`},
		{"another major version", "v2.0.0", func(map[string]string) {}, `"v2.0.0" is no version of ` + core},
		{
			"another version is required", "v0.1.0",
			func(files map[string]string) {
				files["bench/go.mod"] = strings.Replace(files["bench/go.mod"], "v0.1.0", "v0.0.9", 1)
			},
			"bench/go.mod: it requires the core's v0.0.9",
		},
		{
			"a replace", "v0.1.0",
			func(files map[string]string) { files["otelholdfast/go.mod"] += "\nreplace " + core + " => ..\n" },
			"otelholdfast/go.mod: it replaces " + core,
		},
		{
			"a module that says to be elsewhere", "v0.1.0",
			func(files map[string]string) {
				files["promholdfast/go.mod"] = strings.Replace(files["promholdfast/go.mod"], "/promholdfast\n", "/prometheus\n", 1)
			},
			"promholdfast/go.mod: the module is " + core + "/prometheus",
		},
		{
			"a device's name", "v0.1.0",
			func(files map[string]string) { files["testdata/nul"] = "\n" },
			"go.mod: it cannot be published: ",
		},
		{
			"two names that some systems take for one", "v0.1.0",
			func(files map[string]string) { files["bench/report.go"], files["bench/Report.go"] = "\n", "\n" },
			"bench/go.mod: it cannot be published: ",
		},
		{
			"the changelog does not know the version", "v0.1.0",
			func(files map[string]string) { files["CHANGELOG.md"] = "# Changelog\n" },
			"CHANGELOG.md: there is no section",
		},
		{
			"the changelog says nothing of the version", "v0.1.0",
			func(files map[string]string) {
				files["CHANGELOG.md"] = "## 0.1.0 - 2026-12-01\n\n## 0.0.9 - 2026-11-01\n\n- it began\n"
			},
			"CHANGELOG.md: there is no section",
		},
		{
			"something is unreleased", "v0.1.0",
			func(files map[string]string) {
				files["CHANGELOG.md"] = strings.Replace(changelog, "Unreleased\n", "Unreleased\n\n- more\n", 1)
			},
			"CHANGELOG.md: there is something under Unreleased",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := ready()
			c.change(files)
			root := repository(t, files)
			expect(t, root, c.version, c.want)
		})
	}
}

// What is tagged is what is committed, and a tag is set once.
func TestTheRepositoryMustBeReadyToo(t *testing.T) {
	root := repository(t, ready())
	do(t, root, "tag", "otelholdfast/v0.1.0")
	expect(t, root, "v0.1.0", "git: there is a tag otelholdfast/v0.1.0 already")
	do(t, root, "tag", "--delete", "otelholdfast/v0.1.0")
	write(t, root, "engine.go", "package holdfast\n")
	expect(t, root, "v0.1.0", "git: not committed: ?? engine.go")
	if _, err := check(t.TempDir(), "v0.1.0"); err == nil {
		t.Error("there is no tree at all, and that is fine")
	}
}

// expect checks a tree that has that one problem; "" is none.
func expect(t *testing.T, root, version, want string) {
	t.Helper()
	problems, err := check(root, version)
	switch {
	case err != nil:
		t.Fatalf("prepare the tree: %v", err)
	case want == "" && len(problems) > 0:
		t.Errorf("want no problem, got %q", problems)
	case want != "" && (len(problems) != 1 || !strings.HasPrefix(problems[0], want)):
		t.Errorf("want one problem, %q, got %q", want, problems)
	}
}

// repository commits the files to a new repository.
func repository(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		write(t, root, name, text)
	}
	do(t, root, "init", "--quiet")
	do(t, root, "add", ".")
	do(t, root, "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "all")
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatalf("os.MkdirAll: %v", err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("os.WriteFile: %v", err)
	}
}

// do runs git as on a machine where nobody has configured it.
func do(t *testing.T, root string, args ...string) {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	if _, err := git(root, args...); err != nil {
		t.Fatalf("git: %v", err)
	}
}
