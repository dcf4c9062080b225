// Some of these tests start builds; side by side they would only slow one another down.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]
