// Why the page could not sign in by itself, for the sign-in page to say.
import { shallowRef } from "vue";
import type { Problem } from "@/api";

export const signInProblem = shallowRef<Problem | null>(null);
