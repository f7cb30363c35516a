"""What several attacks share; an attack of another project may import it as well."""
