import { describe } from "vitest";
import { checkProfile, READING } from "./check-profile.ts";

describe.each(READING)("%s", checkProfile);
