using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary>Data sets by name, with the nearest name where there is none.</summary>
internal static class DataChoice
{
    /// <exception cref="UsageException">No such name and no such folder.</exception>
    public static LabelledImages Load(DataSetCatalog catalog, string name, DataSplit split)
    {
        try
        {
            return catalog.Load(name, split);
        }
        catch (DataSetUnknownException failure)
        {
            throw new UsageException(failure.Message + "." + NearestName.Hint(name, DataSetCatalog.Names));
        }
    }
}
