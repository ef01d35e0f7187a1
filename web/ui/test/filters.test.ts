import { expect, test } from "vitest";
import { asCommand, asCurl, chipFromText, chipOf, chipsOf, filterOf, quoted, textOf, withChip, without } from "../src/lib/filters";

test("the address's query becomes a filter; what is no filter is left out", () => {
  expect(filterOf({ status: "failed", size: "50", after: "9", batch: ["a", "b"], tag: "" })).toEqual({ status: "failed", batch: "a", tag: "" });
});

test("chips and texts are the same thing", () => {
  for (const text of ["failed,done", "!gpu-3,gpu-4", "", "!"]) expect(textOf(chipOf("machine_id", text))).toBe(text);
  expect(chipOf("q", "!a,b")).toEqual({ key: "q", not: false, values: ["!a,b"] });
});

test("typed conditions", () => {
  expect(chipFromText("status=failed,done")).toEqual({ key: "status", not: false, values: ["failed", "done"] });
  expect(chipFromText("machine_id!=gpu-3")).toEqual({ key: "machine_id", not: true, values: ["gpu-3"] });
  expect(chipFromText("machine_id=!gpu-3")).toEqual({ key: "machine_id", not: true, values: ["gpu-3"] });
  expect(chipFromText("  4711 ")).toEqual({ key: "q", not: false, values: ["4711"] });
  expect(chipFromText("nothing=known")).toEqual({ key: "q", not: false, values: ["nothing=known"] });
  expect(chipFromText("  ")).toBeNull();
});

test("chips come and go", () => {
  const filter = withChip({ batch: "b" }, { key: "status", not: true, values: ["done"] });
  expect(filter).toEqual({ batch: "b", status: "!done" });
  expect(chipsOf(filter).map((chip) => chip.key)).toEqual(["status", "batch"]);
  expect(without(filter, "batch")).toEqual({ status: "!done" });
});

test("what is copied is safe to paste", () => {
  expect(quoted("a b'; rm -rf /")).toBe(`'a b'"'"'; rm -rf /'`);
  expect(asCommand({ status: "failed", batch: "my batch" })).toBe("--filter status=failed --filter 'batch=my batch'");
  expect(asCurl("http://h/", { batch: "a&b" })).toContain("'http://h/api/v1/jobs?batch=a%26b'");
});
