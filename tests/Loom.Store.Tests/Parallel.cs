using NUnit.Framework;

// Most of these tests wait for elections, disks and timers: side by side they take the machine's time instead of the clock's. A fixture's own tests stay in order;
// a fixture that judges how long something took is marked NonParallelizable and runs alone.
[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LevelOfParallelism(4)]
