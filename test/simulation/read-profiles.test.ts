import { describe } from "vitest";
import { checkProfile, READ_PROFILES } from "./check-profile.ts";

describe.each(READ_PROFILES)("%s", checkProfile);
