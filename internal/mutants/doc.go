// Package mutants asks who guards the guards: it has no code but a test, which
// plants one known bug at a time in the real code, runs the checkers of package
// trial on it, and fails unless they complain.
//
//	make mutants
//
// A mutant is a piece of text to be found exactly once, and what stands in its
// place: no hook is in the code. The mutated files are put in the place of the real
// ones by go's -overlay, so that the tree is never touched; as far as it can be, all
// mutants are in one program (weave_test.go), and one of them is on. When the code changes,
// so that the text is not found any more, the test fails: the mutant is to be
// planted anew.
//
// Only a checker's complaint is a catch: not a test that does not compile, nor one
// that does not come to its end.
package mutants
